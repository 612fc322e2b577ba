//! What users write.

use crate::{access, config};

pub(super) fn environments() -> Vec<Vec<u8>> {
    let all = "BRAFT_DISCOVERY=dns:nodes.example:15000\nBRAFT_EXPECT=3\nBRAFT_IP=10.0.0.1\n\
               BRAFT_RPORT=15000\nBRAFT_HEARTBEAT_MS=100\nBRAFT_ON_PANIC=halt\nDGR=true\n\
               BRAFT_MAX_VOTERS=5";
    let lists = "BDI=host1,host2:1,:7,[::1]:3\nBRAFT_IF=eth*\nMDS=_braft._tcp";
    let services = "BRAFT_DISCOVERY=k8s:service=braft,portname=raft\nK8N=default";
    let labels = "BRAFT_DISCOVERY=k8s\nK8L=app=kv,tier in (a,b)\nK8P=raft";
    let records = "BRAFT_DISCOVERY=dns:_raft._tcp.example.com\nBRAFT_ELECTION_MIN_MS=300";
    let all = [
        (cfg!(feature = "mdns"), lists),
        (true, all),
        (cfg!(feature = "kubernetes"), services),
        (cfg!(feature = "kubernetes"), labels),
        (cfg!(feature = "dns"), records),
    ];
    // Without its feature a way to find others is refused.
    let sound = all.into_iter().filter(|(is_built_in, _)| *is_built_in);
    sound.map(|(_, text)| text.into()).collect()
}

/// Lines of `NAME=value`, each a variable.
pub(super) fn read_environment(bytes: &[u8]) -> bool {
    config::fuzz::read_environment(&String::from_utf8_lossy(bytes))
}

pub(super) fn files() -> Vec<Vec<u8>> {
    let file = "discovery = \"host1,host2\"\nexpect = 2\nraft_port = 15000\n\
                ip = \"10.0.0.1\"\nheartbeat_ms = 100\non_panic = \"isolate\"\nreflection = true\n";
    vec![file.into()]
}

pub(super) fn read_file(bytes: &[u8]) -> bool {
    config::fuzz::read_file(&String::from_utf8_lossy(bytes))
}

pub(super) fn tokens() -> Vec<Vec<u8>> {
    let digits = "0123456789abcdef".repeat(4);
    let tokens = format!(
        "# who may call\nread a a-token-of-a-caller\nadmin b.c sha256:{digits}\n\nwrite d {digits}"
    );
    vec![tokens.into()]
}

/// A file of the tokens of callers, or of join tokens.
pub(super) fn read_tokens(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let is_join = access::fuzz::read_join_tokens(&text);
    access::fuzz::read_tokens(&text) || is_join
}
