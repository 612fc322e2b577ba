//! The tree that a schema is, one line for each node.
//!
//! `  label: kind (since 2) (removed 3)`, indented by two spaces for each level. The node `->` is
//! what an operation answers.

use std::fmt;

/// The label of what an operation answers.
pub(super) const ANSWER: &str = "->";

/// One line and what is indented below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) label: String,
    /// The kind of type; empty for what is none, and for a type that is not known yet.
    pub(crate) kind: String,
    /// The first version that has it; 1 or 0 for the first one.
    pub(super) since: u32,
    /// The first version that has it no more; 0 for none.
    pub(super) removed: u32,
    pub(crate) children: Vec<Node>,
}

/// A text is not that of a schema.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not one of a schema: {reason}")]
pub struct ParseSchemaError {
    /// The line, counted from 1.
    pub line: usize,
    pub(super) reason: String,
}

impl Node {
    pub(super) fn new(label: &str) -> Self {
        Node {
            label: label.to_owned(),
            since: 1,
            ..Node::default()
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn child(&self, label: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.label == label)
    }

    pub(super) fn child_mut(&mut self, label: &str) -> Option<&mut Node> {
        self.children.iter_mut().find(|child| child.label == label)
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:width$}", "", width = 2 * depth)?;
        match (self.label.as_str(), self.kind.as_str()) {
            (ANSWER, kind) => write!(f, "{ANSWER} {kind}")?,
            (label, "") => f.write_str(label)?,
            (label, kind) => write!(f, "{label}: {kind}")?,
        }
        if self.since > 1 {
            write!(f, " (since {})", self.since)?;
        }
        if self.removed > 0 {
            write!(f, " (removed {})", self.removed)?;
        }
        writeln!(f)?;
        self.children
            .iter()
            .try_for_each(|child| child.write(f, depth + 1))
    }
}

/// A name as it can stand in a line: quoted if it is not plain.
pub(super) fn name(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    // No colon, parenthesis or line break is left to be taken for the line's own.
    let escaped = name.chars().map(|c| match c {
        ':' | '(' | ')' | '"' | '\\' => format!("\\u{{{:x}}}", c as u32),
        c if c.is_control() => format!("\\u{{{:x}}}", c as u32),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Reads lines back into trees.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, ParseSchemaError> {
    let mut root = Node::default();
    let lines = text.lines().enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let failed = |reason: &str| ParseSchemaError {
            line: at + 1,
            reason: reason.to_owned(),
        };
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let node = line_node(content).ok_or_else(|| failed("a version is not a number"))?;
        let mut parent = &mut root;
        for _ in 0..indent / 2 {
            let Some(last) = parent.children.last_mut() else {
                return Err(failed("it is indented further than the line above allows"));
            };
            parent = last;
        }
        if indent % 2 != 0 {
            return Err(failed("it is not indented by pairs of spaces"));
        }
        parent.children.push(node);
    }
    Ok(root.children)
}

fn line_node(content: &str) -> Option<Node> {
    let (content, removed) = suffix(content.trim_end(), "removed")?;
    let (content, since) = suffix(content, "since")?;
    let (label, kind) = match content.strip_prefix(ANSWER) {
        Some(kind) => (ANSWER, kind),
        None => content.split_once(": ").unwrap_or((content, "")),
    };
    Some(Node {
        label: label.to_owned(),
        kind: kind.trim().to_owned(),
        since: since.unwrap_or(1),
        removed: removed.unwrap_or(0),
        children: Vec::new(),
    })
}

/// Takes ` (word N)` off the end of a line; `None` if N is no number.
fn suffix<'a>(content: &'a str, word: &str) -> Option<(&'a str, Option<u32>)> {
    let Some((rest, suffix)) = content.rsplit_once(&format!(" ({word} ")) else {
        return Some((content, None));
    };
    let number = suffix.strip_suffix(')')?.parse().ok()?;
    Some((rest, Some(number)))
}
