//! Commands on a running cluster.

use serde_json::json;

use super::admin::Admin;
use super::args::Args;
use super::failure::Failure;
use super::screen::{Screen, count, table};
use crate::member::display_id;
use crate::status::{Member, Status};
use crate::wire::admin as pb;

pub(super) async fn status(args: &Args, only: bool, screen: &mut Screen) -> Result<(), Failure> {
    let mut admin = Admin::connect(args).await?;
    let all = admin.statuses(!only).await?;
    if screen.say_json(&all) {
        return Ok(());
    }
    let known = all.iter().find(|node| !node.cluster_id.is_empty());
    if let Some(known) = known.or(all.first()) {
        let id = match known.cluster_id.as_str() {
            "" => "not formed yet",
            id => id,
        };
        screen.say(format!("cluster {} ({id})", known.cluster_name));
    }
    let rows: Vec<_> = all.iter().map(status_row).collect();
    let head = [
        "NODE", "NAME", "ADDRESS", "ROLE", "TERM", "LOG", "APPLIED", "SNAPSHOT", "NOTE",
    ];
    screen.say(table(head, &[4, 5, 6, 7], &rows));
    for line in all.iter().flat_map(|node| &node.outlook) {
        screen.say(format!("outlook: {line}"));
    }
    Ok(())
}

fn status_row(node: &Status) -> [String; 9] {
    let index = |index: u64| {
        if node.role == "unknown" {
            String::new()
        } else {
            count(index)
        }
    };
    let mut notes: Vec<&str> = node.error.iter().map(String::as_str).collect();
    notes.extend(node.clocks.as_deref());
    notes.extend(node.slow.iter().map(String::as_str));
    if node.role == "forming" {
        notes.push(&node.formation);
    }
    let panics: Vec<_> = node.panics.iter().filter(|panic| panic.refused).collect();
    let refused = panics.iter().map(|panic| {
        format!(
            "{0}.{1} is refused, it has panicked {2} times; `braft clear-panics {0}.{1}`",
            panic.service, panic.method, panic.times
        )
    });
    let refused: Vec<_> = refused.collect();
    notes.extend(refused.iter().map(String::as_str));
    [
        node.node_id.clone(),
        node.name.clone(),
        node.address.clone(),
        node.role.clone(),
        index(node.term),
        index(node.log.last_index),
        index(node.log.applied_index),
        index(node.log.snapshot_index),
        notes.join("; "),
    ]
}

/// The members as the leader sees them, or as this node does if there is no leader.
async fn view(admin: &mut Admin) -> Result<Status, Failure> {
    let all = admin.statuses(true).await?;
    let leader = all.iter().find(|node| node.role == "leader");
    let known = leader.or_else(|| all.iter().find(|node| !node.members.is_empty()));
    known.cloned().ok_or_else(|| {
        let why = all.first().map(|node| node.formation.clone());
        Failure::Unavailable(format!(
            "{} is in no cluster yet: {}",
            admin.address,
            why.unwrap_or_default()
        ))
    })
}

pub(super) async fn members(args: &Args, screen: &mut Screen) -> Result<(), Failure> {
    let mut admin = Admin::connect(args).await?;
    let seen = view(&mut admin).await?;
    if screen.say_json(&seen.members) {
        return Ok(());
    }
    let rows: Vec<_> = seen
        .members
        .iter()
        .map(|member| member_row(member, &seen))
        .collect();
    let head = [
        "NODE", "NAME", "ADDRESS", "ROLE", "HEALTH", "LAG", "CONTACT", "VERSION", "NOTE",
    ];
    screen.say(table(head, &[5, 6], &rows));
    if seen.role != "leader" {
        let text = "no leader answers: health and lag are not known; `braft status` shows why";
        screen.hint(text);
    }
    Ok(())
}

fn member_row(member: &Member, seen: &Status) -> [String; 9] {
    let leads = seen
        .leader
        .as_ref()
        .is_some_and(|leader| leader.id == member.id);
    let role = match (leads, member.votes) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    let notes = [&member.outlook, &member.trouble];
    let notes: Vec<_> = notes.into_iter().flatten().map(String::as_str).collect();
    let contact = member.last_contact_ms.filter(|_| !leads);
    [
        member.id.clone(),
        member.name.clone(),
        member.address.clone(),
        role.to_owned(),
        member.health.clone().unwrap_or_default(),
        member.lag.map(count).unwrap_or_default(),
        contact.map(|ms| format!("{ms} ms")).unwrap_or_default(),
        member.version.clone().unwrap_or_default(),
        notes.join("; "),
    ]
}

/// The member that a person means by an id, a name or an address.
async fn find(admin: &mut Admin, node: &str) -> Result<u64, Failure> {
    let members = view(admin).await?.members;
    let matching: Vec<_> = members
        .iter()
        .filter(|member| [&member.id, &member.name, &member.address].contains(&&node.to_owned()))
        .collect();
    match &matching[..] {
        [member] => u64::from_str_radix(&member.id, 16)
            .map_err(|_| Failure::Refused(format!("{} is no node id", member.id))),
        [] => Err(Failure::Refused(format!(
            "{node} is no member: neither an id nor a name nor an address; `braft members` shows \
             them"
        ))),
        several => Err(Failure::Refused(format!(
            "{} members are called {node}; give the id, which `braft members` shows",
            several.len()
        ))),
    }
}

pub(super) async fn add(args: &Args, node: &str, screen: &mut Screen) -> Result<(), Failure> {
    let mut admin = Admin::connect(args).await?;
    let request = pb::AddRequest {
        address: node.to_owned(),
        passed_on: false,
    };
    let mut client = admin.client.clone();
    let added = admin.answer(client.add(request)).await?;
    let id = display_id(added.node_id);
    if !screen.say_json(&json!({ "added": id })) {
        screen.say(format!("node {id} at {node} is a member"));
        let votes = view(&mut admin).await?;
        let votes = votes
            .members
            .iter()
            .any(|member| member.id == id && member.votes);
        if !votes {
            screen.hint("it votes once it has caught up; `braft members` shows how far it is");
        }
    }
    Ok(())
}

pub(super) async fn remove(args: &Args, node: &str, screen: &mut Screen) -> Result<(), Failure> {
    let mut admin = Admin::connect(args).await?;
    let node_id = find(&mut admin, node).await?;
    // The node gives up a little earlier, so that it can still say why.
    let timeout_ms = admin.left_ms() / 10 * 9;
    let request = pb::RemoveRequest {
        node_id,
        timeout_ms,
    };
    let mut client = admin.client.clone();
    admin.answer(client.remove(request)).await?;
    let id = display_id(node_id);
    if !screen.say_json(&json!({ "removed": id })) {
        screen.say(format!("node {id} is removed"));
        screen.hint("stop its process; to come back, it needs an empty data directory");
    }
    Ok(())
}

pub(super) async fn transfer_leader(
    args: &Args,
    node: Option<&str>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut admin = Admin::connect(args).await?;
    let to = match node {
        Some(node) => find(&mut admin, node).await?,
        None => 0,
    };
    let request = pb::TransferLeaderRequest {
        to,
        passed_on: false,
    };
    let mut client = admin.client.clone();
    let leader = admin.answer(client.transfer_leader(request)).await?.leader;
    let id = display_id(leader);
    if to != 0 && leader != to {
        return Err(Failure::Unavailable(format!(
            "node {id} leads now, not {}; try again",
            display_id(to)
        )));
    }
    if !screen.say_json(&json!({ "leader": id })) {
        screen.say(format!("node {id} leads"));
    }
    Ok(())
}

pub(super) async fn snapshot(args: &Args, screen: &mut Screen) -> Result<(), Failure> {
    let admin = Admin::connect(args).await?;
    let mut client = admin.client.clone();
    let written = admin
        .answer(client.snapshot(pb::SnapshotRequest {}))
        .await?;
    let (index, bytes) = (written.index, written.bytes);
    if !screen.say_json(&json!({ "term": written.term, "index": index, "bytes": bytes })) {
        screen.say(format!(
            "{} has a snapshot up to log index {}, {} bytes",
            admin.address,
            count(index),
            count(bytes)
        ));
    }
    Ok(())
}

pub(super) async fn clear_panics(
    args: &Args,
    method: &str,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let (service, method) = method.rsplit_once('.').ok_or_else(|| {
        Failure::Refused(format!("{method} is no command; write SERVICE.COMMAND"))
    })?;
    let admin = Admin::connect(args).await?;
    let request = pb::ClearPanicsRequest {
        service: service.to_owned(),
        method: method.to_owned(),
    };
    let mut client = admin.client.clone();
    admin.answer(client.clear_panics(request)).await?;
    if !screen.say_json(&json!({ "cleared": format!("{service}.{method}") })) {
        screen.say(format!("{service}.{method} is carried out again"));
    }
    Ok(())
}

pub(super) async fn schema(
    args: &Args,
    service: Option<&str>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let admin = Admin::connect(args).await?;
    let mut client = admin.client.clone();
    let answer = admin.answer(client.schema(pb::SchemaRequest {})).await?;
    let names: Vec<_> = answer.services.iter().map(|it| it.name.clone()).collect();
    let is_wanted = |name: &str| service.is_none_or(|wanted| wanted == name);
    let shown: Vec<_> = answer
        .services
        .into_iter()
        .filter(|it| is_wanted(&it.name))
        .collect();
    if let (Some(service), true) = (service, shown.is_empty()) {
        return Err(Failure::Refused(format!(
            "{} has no service {service}; it has {}",
            admin.address,
            names.join(", ")
        )));
    }
    let all: serde_json::Map<_, _> = shown
        .iter()
        .map(|it| (it.name.clone(), json!(it.schema)))
        .collect();
    if !screen.say_json(&all) {
        let texts: Vec<_> = shown.iter().map(|it| it.schema.trim_end()).collect();
        screen.say(texts.join("\n\n"));
    }
    Ok(())
}
