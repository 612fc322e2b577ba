//! storage
pub(crate) mod wal {
    use std::io; use std::ops::Range; use bytes::Bytes;
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)] pub(crate) struct LogId { pub term: u64, pub index: u64 }
    pub(crate) struct LogEntry { pub id: LogId, pub kind: u8, pub payload: Bytes }
    pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;
    #[derive(Clone, Copy)] pub(crate) struct Vote { pub term: u64, pub voted_for: Option<u64>, pub committed: bool }
    pub(crate) struct WalState { pub last_purged: Option<LogId>, pub last: Option<LogId> }
    #[derive(Clone, Debug)] pub(crate) struct Wal;
    impl Wal {
        pub(crate) fn append(&self, _: Vec<LogEntry>, _: Done) -> io::Result<()> { todo!() }
        pub(crate) fn save_vote(&self, _: Vote, _: Done) { todo!() }
        pub(crate) fn read_vote(&self) -> Option<Vote> { todo!() }
        pub(crate) fn save_committed(&self, _: Option<LogId>) {}
        pub(crate) fn committed(&self) -> Option<LogId> { todo!() }
        pub(crate) fn truncate_after(&self, _: Option<u64>, _: Done) -> io::Result<()> { todo!() }
        pub(crate) fn purge(&self, _: LogId, _: Done) -> io::Result<()> { todo!() }
        pub(crate) fn read(&self, _: Range<u64>, _: u64) -> io::Result<Vec<LogEntry>> { todo!() }
        pub(crate) fn state(&self) -> WalState { todo!() }
        pub(crate) fn close(&self) {}
    }
}
pub(crate) mod snapshot {
    use std::io; use std::path::Path; use bytes::Bytes;
    pub(crate) struct SnapshotId { pub last: super::wal::LogId }
    pub(crate) struct SnapshotStore; pub(crate) struct SnapshotWriter; pub(crate) struct Section; pub(crate) struct Sections; #[derive(Clone)] pub(crate) struct SnapshotFile; pub(crate) struct SnapshotReceiver;
    impl SnapshotStore { pub(crate) fn current(&self) -> Option<SnapshotFile> { todo!() } pub(crate) fn create(&self, _: SnapshotId, _: &[u8]) -> io::Result<SnapshotWriter> { todo!() } pub(crate) fn receive(&self, _: &str, _: u64) -> io::Result<SnapshotReceiver> { todo!() } }
    impl SnapshotWriter { pub(crate) fn section(&mut self, _: &str) -> io::Result<Section> { todo!() } pub(crate) fn finish(self) -> io::Result<SnapshotFile> { todo!() } }
    impl Section { pub(crate) fn finish(self) -> io::Result<()> { todo!() } }
    impl io::Write for Section { fn write(&mut self, _: &[u8]) -> io::Result<usize> { todo!() } fn flush(&mut self) -> io::Result<()> { Ok(()) } }
    impl SnapshotFile { pub(crate) fn path(&self) -> &Path { todo!() } pub(crate) fn meta(&self) -> &[u8] { todo!() } pub(crate) fn id(&self) -> &str { todo!() } pub(crate) fn bytes(&self) -> u64 { 0 } pub(crate) fn read_at(&self, _: u64, _: u64) -> io::Result<Bytes> { todo!() } pub(crate) fn sections(&self) -> io::Result<Sections> { todo!() } }
    impl Sections { pub(crate) fn next_section(&mut self) -> io::Result<Option<(String, &'static [u8])>> { todo!() } }
    impl SnapshotReceiver { pub(crate) fn offset(&self) -> u64 { 0 } pub(crate) fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> { todo!() } pub(crate) fn finish(self) -> io::Result<SnapshotFile> { todo!() } }
}
