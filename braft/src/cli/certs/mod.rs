//! `braft certs`: authorities and certificates for a cluster that has no others.
//!
//! | file | what it holds |
//! |---|---|
//! | `authority.rs` | an authority, made or read, and what it signs |
//! | `files.rs` | the files: none is ever written over |

mod authority;
mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;
use serde::Serialize;

use self::authority::{Authority, Use};
use self::files::{Pair, check_name, private_directory};
use super::failure::Failure;
use super::screen::Screen;

/// The authority of the members, and that of clients.
const MEMBERS: &str = "ca";
const CLIENTS: &str = "client-ca";
/// The client that is made unless others are named.
const CLIENT: &str = "client";
/// The longest that a certificate may last: ten years, as its authority does.
const MAX_DAYS: u32 = 3650;
/// Names in one certificate.
const MAX_HOSTS: usize = 64;

#[derive(Debug, clap::Args)]
pub(super) struct CertsArgs {
    /// The nodes, by any names: one certificate for each, which bears the name as well
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// Where the files go; an authority that is there is used again
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// A host name or IP address under which nodes are reached, for the certificate of each node
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// A client, good for calls alone; one named "client" is made unless there is one
    #[arg(long = "client", value_name = "NAME")]
    clients: Vec<String>,
    /// For how many days the certificates are good; the authorities are for ten years
    #[arg(long, value_name = "DAYS", default_value = "365")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
    days: u32,
}

#[derive(Serialize)]
struct Made {
    /// Those written now.
    files: Vec<PathBuf>,
    /// What a node or a client is set to, by its name.
    settings: Vec<Settings>,
}

#[derive(Serialize)]
struct Settings {
    name: String,
    variables: BTreeMap<&'static str, PathBuf>,
}

/// Makes what is asked for, or nothing if a file is in the way.
pub(super) fn certs(args: &CertsArgs, screen: &mut Screen) -> Result<(), Failure> {
    let dir = &args.dir;
    if args.hosts.len() >= MAX_HOSTS {
        let text = format!("a certificate may bear {MAX_HOSTS} names at most");
        return Err(Failure::Refused(text));
    }
    if let Some(host) = args.hosts.iter().find(|host| !is_host(host)) {
        let text = format!("{host:?} is neither a host name nor an IP address");
        return Err(Failure::Refused(text));
    }
    let pair = |name: &str| Pair::of(dir, name);
    let mut clients = args.clients.clone();
    if clients.is_empty() && !pair(CLIENT).is_there() {
        clients.push(CLIENT.to_owned());
    }
    if args.nodes.is_empty() && clients.is_empty() {
        let text = "name the nodes that need a certificate, or clients with --client";
        return Err(Failure::Refused(text.to_owned()));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in args.nodes.iter().chain(&clients) {
        check_name(name, &[MEMBERS, CLIENTS]).map_err(Failure::Refused)?;
        if names.contains(&name.as_str()) {
            return Err(Failure::Refused(format!("{name} is named twice")));
        }
        names.push(name);
        pair(name).must_be_new()?;
    }
    private_directory(dir)?;
    let mut written = Vec::new();
    let members = Authority::of(pair(MEMBERS), "braft members", &mut written)?;
    let of_clients = Authority::of(pair(CLIENTS), "braft clients", &mut written)?;
    let mut settings = Vec::new();
    for name in &args.nodes {
        let hosts = node_hosts(name, &args.hosts);
        members.sign(
            &pair(name),
            Use::Node(name, &hosts),
            args.days,
            &mut written,
        )?;
        settings.push(variables(dir, name, true));
    }
    for name in &clients {
        of_clients.sign(&pair(name), Use::Client(name), args.days, &mut written)?;
        settings.push(variables(dir, name, false));
    }
    let made = Made {
        files: written,
        settings,
    };
    if !screen.say_json(&made) {
        tell(&made, dir, screen);
    }
    Ok(())
}

/// What the certificate of a node bears: its own name too, if nodes can be reached under such a name.
fn node_hosts(name: &str, hosts: &[String]) -> Vec<String> {
    let own = Some(name).filter(|name| is_host(name) && !hosts.iter().any(|host| host == name));
    own.map(str::to_owned)
        .into_iter()
        .chain(hosts.to_vec())
        .collect()
}

/// Whether this is a host name or an IP address.
fn is_host(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

fn variables(dir: &Path, name: &str, is_node: bool) -> Settings {
    let own = Pair::of(dir, name);
    let mut variables = BTreeMap::from([
        ("BRAFT_TLS_CERT", own.certificate),
        ("BRAFT_TLS_KEY", own.key),
        ("BRAFT_TLS_CA", Pair::of(dir, MEMBERS).certificate),
    ]);
    if is_node {
        variables.insert("BRAFT_TLS_CLIENT_CA", Pair::of(dir, CLIENTS).certificate);
    }
    Settings {
        name: name.to_owned(),
        variables,
    }
}

fn tell(made: &Made, dir: &Path, screen: &mut Screen) {
    let [members, clients] = [MEMBERS, CLIENTS].map(|name| Pair::of(dir, name).key);
    screen.say(format!(
        "{} files are in {}, keys for this user alone",
        made.files.len(),
        dir.display()
    ));
    for Settings { name, variables } in &made.settings {
        screen.say(format!("\nset for {name}:"));
        let lines: Vec<_> = variables
            .iter()
            .map(|(variable, file)| format!("  {variable}={}", file.display()))
            .collect();
        screen.say(lines.join("\n"));
    }
    screen.hint(format!(
        "\ncopy to each node and client its own files, and the certificates of the authorities. Keep \
         their keys where you make certificates: whoever has {} makes members, whoever has {} makes \
         clients.\nfor more nodes, run `braft certs --dir {} NAME`",
        members.display(),
        clients.display(),
        dir.display()
    ));
}
