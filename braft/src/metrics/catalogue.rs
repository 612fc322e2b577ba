//! Every metric, with its unit and meaning. `docs/metrics.md` lists the same, which a test compares.

use super::text::{Kind, Metric};

const fn counter(name: &'static str, help: &'static str) -> Metric {
    let kind = Kind::Counter;
    Metric { name, kind, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    let kind = Kind::Gauge;
    Metric { name, kind, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    let kind = Kind::Histogram;
    Metric { name, kind, help }
}

macro_rules! metrics {
    ($($kind:ident $name:ident $text:literal $help:literal;)+) => {
        $(pub(crate) const $name: Metric = $kind($text, $help);)+
    };
}

metrics! {
    // The node and its process.
    gauge INFO "braft_info" "1; the labels say which node this is and what it runs.";
    gauge START_TIME "braft_start_time_seconds" "When the node started, in seconds since 1970.";
    gauge STOPPED "braft_stopped" "1 once the node has stopped for a reason that needs somebody.";
    gauge RSS "braft_process_resident_memory_bytes" "Memory of the process, in bytes.";
    counter CPU "braft_process_cpu_seconds_total" "CPU time of the process, in seconds.";

    // Raft.
    gauge ROLE "braft_role" "1 for the role that the node has, 0 for the others.";
    gauge HAS_LEADER "braft_has_leader" "1 while the node knows a leader.";
    gauge IN_TOUCH "braft_in_touch" "1 while a quorum answers the leader, or the node hears a leader.";
    gauge TERM "braft_term" "The raft term.";
    counter LEADER_CHANGES "braft_leader_changes_total" "How often the node saw another leader or term.";
    gauge LAST_INDEX "braft_log_last_index" "Index of the last log entry.";
    gauge COMMITTED_INDEX "braft_log_committed_index" "Index up to which the log is known as committed.";
    gauge APPLIED_INDEX "braft_log_applied_index" "Index up to which the log is applied.";
    gauge PURGED_INDEX "braft_log_purged_index" "Index up to which the log is removed.";

    // The log on disk.
    gauge SEGMENTS "braft_log_segments" "Files of the log.";
    gauge LOG_BYTES "braft_log_disk_bytes" "Size of the files of the log, in bytes.";
    gauge CACHE_BYTES "braft_log_cache_bytes" "Log entries kept in memory, in bytes.";
    gauge LOG_QUEUE "braft_log_queue_length" "Operations that wait for the writer of the log.";
    counter ENTRIES "braft_log_entries_total" "Entries made durable since the start.";
    counter LOG_WRITTEN "braft_log_written_bytes_total" "Bytes written to the log since the start.";
    counter FSYNCS "braft_log_fsyncs_total" "Syncs of log and vote since the start.";
    histogram FSYNC_TIMES "braft_log_fsync_duration_seconds" "To write and sync one batch of entries.";
    gauge DISK_LOW "braft_disk_low" "1 while free disk space is below the reserve: commands are busy.";

    // Commands on their way, and the state.
    histogram COMMIT_TIMES "braft_commit_duration_seconds" "On the leader: from the proposal of an entry until it is applied.";
    histogram APPLY_TIMES "braft_apply_duration_seconds" "To carry out up to 64 log entries that came together.";
    counter APPLIED "braft_applied_commands_total" "Commands and other items of the log carried out since the start.";
    gauge PENDING "braft_pending_calls" "Commands and reads taken in and not yet answered.";
    gauge PENDING_LIMIT "braft_pending_calls_limit" "How many there may be; beyond it calls are busy.";
    gauge PENDING_BYTES "braft_pending_bytes" "Commands and reads taken in and not yet answered, in bytes.";
    gauge SESSIONS "braft_sessions" "Client sessions kept.";
    gauge SUBSCRIBERS "braft_event_subscribers" "Those who follow events on this node.";
    gauge SLOW_CALLS "braft_slow_calls" "Commands and queries that have been running for over a second.";
    gauge REFUSED_METHODS "braft_panicked_methods" "Methods that have panicked and were not cleared.";

    // Calls by method.
    counter CALLS "braft_calls_total" "Calls that this node answered or refused itself.";
    histogram CALL_TIMES "braft_call_duration_seconds" "From the arrival of a call at the node that serves it until its answer.";
    counter FORWARDED "braft_calls_forwarded_total" "Calls that were passed on to the leader.";

    // Snapshots.
    gauge SNAPSHOT_INDEX "braft_snapshot_index" "Index of the last log entry in the newest snapshot.";
    gauge SNAPSHOT_BYTES "braft_snapshot_bytes" "Size of the newest snapshot, in bytes.";
    gauge SNAPSHOT_TIME "braft_snapshot_timestamp_seconds" "When the newest snapshot was written, in seconds since 1970; 0 without one.";
    histogram SNAPSHOT_TIMES "braft_snapshot_duration_seconds" "To write a snapshot.";

    // Members and peers.
    gauge MEMBERS "braft_members" "Members of the cluster, by whether they vote.";
    gauge MIN_VOTERS "braft_min_voters" "The setting below which no voter is removed.";
    gauge MAX_VOTERS "braft_max_voters" "The setting up to which learners become voters.";
    gauge TOLERATED "braft_failures_tolerated" "On the leader: voters that may fail yet; negative without a quorum.";
    gauge MEMBER_HEALTHY "braft_member_healthy" "On the leader: 1 if the member is healthy; else the label says how it is.";
    gauge MEMBER_LAG "braft_member_lag_entries" "On the leader: log entries that the member is behind.";
    gauge MEMBER_CONTACT "braft_member_last_contact_seconds" "On the leader: since when the member has not answered.";
    counter CHANGES "braft_membership_changes_total" "Changes of the members that this node decided on as leader.";
    gauge REFUSALS "braft_membership_refusals" "On the leader: changes of the members that suggest themselves and are not made.";
    gauge PEER_CONNECTED "braft_peer_connected" "1 while a connection to the peer is open that raft messages take.";
    counter PEER_APPENDS "braft_peer_appends_total" "Messages with log entries sent to the peer.";
    counter PEER_SENT "braft_peer_sent_bytes_total" "Sent on the connections for raft messages that this node opened to the peer, in bytes.";
    counter PEER_RECEIVED "braft_peer_received_bytes_total" "Received on those connections, in bytes.";
    counter PEER_FAILURES "braft_peer_failures_total" "Connections to the peer and messages that failed.";
    histogram PEER_TIMES "braft_peer_heartbeat_duration_seconds" "From a heartbeat to the peer until its answer.";

    // Replicas that differ, clocks.
    gauge HALTED "braft_halted" "1 while the node carries out nothing any more and serves no reads.";
    gauge DIVERGED "braft_diverged" "1 while the state differs from that of the majority and is made anew.";
    gauge DIVERGENCES "braft_divergences" "Replicas of the cluster whose states differ, as far as is known.";
    gauge COMPARED_INDEX "braft_compared_index" "Log index of the newest comparison at which a majority agreed.";
    gauge CLOCKS_WRONG "braft_clocks_wrong" "On the leader: 1 while the wall clocks of the voters are far apart.";
}
