//! temp
use crate::{
    discovery::*, error::Error, net::Dialer, raft::network::Timers, service::*, settings::Settings,
};
use std::{net::SocketAddr, ops::Range, path::PathBuf, sync::Arc, time::Duration};
pub struct Config {
    r: Resolved,
    l: Option<std::net::TcpListener>,
}
pub(crate) struct Resolved {
    pub(crate) factories: Vec<ServiceFactory>,
    pub(crate) name: String,
    pub(crate) cluster_name: String,
    pub(crate) address: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) discovery: Arc<dyn Discovery>,
    pub(crate) expect: Option<usize>,
    pub(crate) timers: Timers,
    pub(crate) snapshot_every: u64,
    pub(crate) keep_log_entries: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) disk_reserve_bytes: u64,
    pub(crate) settings: Settings,
    pub(crate) grpc_routes: tonic::service::Routes,
    pub(crate) reflection: bool,
    pub(crate) dialer: Dialer,
    l: Option<std::net::TcpListener>,
}
impl Config {
    pub fn new() -> Self {
        Config {
            l: None,
            r: Resolved {
                factories: vec![],
                name: "n".into(),
                cluster_name: "c".into(),
                address: String::new(),
                data_dir: "x".into(),
                discovery: Arc::new(
                    StaticList::parse("127.0.0.1:1", &"127.0.0.1:1".parse().unwrap()).unwrap(),
                ),
                expect: None,
                timers: Timers {
                    heartbeat_ms: 100,
                    election_min_ms: 300,
                    election_max_ms: 600,
                },
                snapshot_every: 10000,
                keep_log_entries: 1000,
                segment_bytes: 64 << 20,
                disk_reserve_bytes: 256 << 20,
                settings: Settings::default(),
                grpc_routes: Default::default(),
                reflection: true,
                dialer: Dialer::default(),
                l: None,
            },
        }
    }
    pub fn service<S: Service>(mut self) -> Self {
        self.r.factories.push(factory::<S>());
        self
    }
    pub fn cluster_name(mut self, n: &str) -> Self {
        self.r.cluster_name = n.into();
        self
    }
    pub fn data_dir(mut self, n: impl Into<PathBuf>) -> Self {
        self.r.data_dir = n.into();
        self
    }
    pub fn listener(mut self, l: std::net::TcpListener) -> Self {
        self.r.address = l.local_addr().unwrap().to_string();
        self.l = Some(l);
        self
    }
    pub fn without_http(self) -> Self {
        self
    }
    pub fn discovery(mut self, d: StaticList) -> Self {
        self.r.discovery = Arc::new(d);
        self
    }
    pub fn heartbeat(mut self, d: Duration) -> Self {
        self.r.timers.heartbeat_ms = d.as_millis() as u32;
        self
    }
    pub fn election_timeout(mut self, d: Range<Duration>) -> Self {
        self.r.timers.election_min_ms = d.start.as_millis() as u32;
        self.r.timers.election_max_ms = d.end.as_millis() as u32;
        self
    }
    pub fn segment_bytes(mut self, n: u64) -> Self {
        self.r.segment_bytes = n;
        self
    }
    pub fn snapshot_every(mut self, n: u64) -> Self {
        self.r.snapshot_every = n;
        self
    }
    pub fn keep_log_entries(mut self, n: u64) -> Self {
        self.r.keep_log_entries = n;
        self
    }
    pub fn expect_nodes(mut self, n: usize) -> Self {
        self.r.expect = Some(n);
        self
    }
    pub(crate) fn dialer(mut self, d: Dialer) -> Self {
        self.r.dialer = d;
        self
    }
    pub(crate) fn exit_code_when_forced(&self) -> u8 {
        1
    }
    pub(crate) fn resolve(self) -> Result<Resolved, Error> {
        let mut r = self.r;
        r.l = self.l;
        Ok(r)
    }
}
impl Resolved {
    pub(crate) fn listen(
        &mut self,
    ) -> Result<(tokio::net::TcpListener, Option<tokio::net::TcpListener>), Error> {
        let l = self.l.take().unwrap();
        l.set_nonblocking(true).unwrap();
        Ok((tokio::net::TcpListener::from_std(l).unwrap(), None))
    }
    pub(crate) fn own_routes(&mut self, _: &crate::node::Node) -> axum::Router {
        axum::Router::new()
    }
}
