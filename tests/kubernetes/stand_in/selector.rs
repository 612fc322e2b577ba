//! Label selectors, as far as the tests use them: `key=value` and `key in (a,b)`.

use serde_json::Value;

/// All requirements have to hold.
#[derive(Clone, Debug)]
pub(crate) struct Selector(Vec<(String, Vec<String>)>);

impl Selector {
    /// `None` for what the stand-in does not know.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut depth = 0;
        let parts = text.split(|character| {
            depth += i32::from(character == '(') - i32::from(character == ')');
            character == ',' && depth == 0
        });
        parts.map(requirement).collect::<Option<_>>().map(Self)
    }

    pub(crate) fn fits(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|(key, values)| {
            let label = labels.get(key).and_then(Value::as_str);
            label.is_some_and(|label| values.iter().any(|value| value == label))
        })
    }
}

fn requirement(text: &str) -> Option<(String, Vec<String>)> {
    if let Some((key, value)) = text.split_once('=') {
        return Some((key.to_owned(), vec![value.to_owned()]));
    }
    let (key, values) = text.strip_suffix(')')?.split_once(" in (")?;
    let values = values.split(',').map(|value| value.trim().to_owned());
    Some((key.to_owned(), values.collect()))
}
