//! The settings that all members obey.

use serde_json::{Map, Value};

use super::admin::Admin;
use super::args::Args;
use super::failure::Failure;
use super::screen::{Screen, table};
use crate::settings::Settings;
use crate::wire::admin as pb;

pub(super) async fn settings(
    args: &Args,
    changes: &[String],
    screen: &mut Screen,
) -> Result<(), Failure> {
    let changes = changes
        .iter()
        .map(|change| parse(change))
        .collect::<Result<Map<_, _>, _>>()?;
    let admin = Admin::connect(args).await?;
    let mut client = admin.client.clone();
    if !changes.is_empty() {
        let request = pb::ChangeSettingsRequest {
            changes: Value::Object(changes.clone()).to_string(),
        };
        admin.answer(client.change_settings(request)).await?;
    }
    let answer = admin.answer(client.get_settings(pb::GetSettingsRequest {}));
    let settings = answer.await?.settings;
    let settings: Map<String, Value> = serde_json::from_str(&settings)
        .map_err(|error| Failure::Refused(format!("{}: {error}", admin.address)))?;
    if screen.say_json(&settings) {
        return Ok(());
    }
    let default = serde_json::to_value(Settings::default()).unwrap_or_default();
    let rows: Vec<_> = settings
        .iter()
        .map(|(name, value)| {
            let default = default.get(name).filter(|default| *default != value);
            let default = default.map(show).unwrap_or_default();
            [name.clone(), show(value), default]
        })
        .collect();
    screen.say(table(["SETTING", "VALUE", "DEFAULT"], &[1, 2], &rows));
    Ok(())
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn parse(change: &str) -> Result<(String, Value), Failure> {
    let (name, value) = change.split_once('=').ok_or_else(|| {
        Failure::Refused(format!(
            "{change} is no change of a setting; write NAME=VALUE"
        ))
    })?;
    let value = value.parse::<u64>().map(Value::from);
    let text = || Value::from(change[name.len() + 1..].to_owned());
    Ok((name.to_owned(), value.unwrap_or_else(|_| text())))
}
