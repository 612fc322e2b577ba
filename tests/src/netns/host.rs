//! One namespace, programs and calls within it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::tool::{NAMESPACES, fresh_name, run};

/// The longest an HTTP answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A network of its own, with loopback; removed when this is dropped, with all that is in it.
#[derive(Debug)]
pub struct Host {
    pub(super) namespace: String,
    pub(super) ip: IpAddr,
}

impl Host {
    /// A host that is connected to nothing.
    ///
    /// # Errors
    /// What the system says; see [`why_not`](super::why_not) first.
    pub fn alone() -> io::Result<Self> {
        let host = Host {
            namespace: fresh_name(),
            ip: Ipv4Addr::LOCALHOST.into(),
        };
        run("ip", &format!("netns add {}", host.namespace))?;
        host.set("link set lo up")?;
        Ok(host)
    }

    /// The address the others reach it at.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Runs `ip` within the host.
    pub(super) fn set(&self, arguments: &str) -> io::Result<()> {
        run("ip", &format!("-n {} {arguments}", self.namespace))
    }

    /// A program that runs on this host. Its process id is that of the command.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program);
        command
    }

    /// The same, with the mounts of this process: [`Host::command`] gives a program copies of its own,
    /// which hold on to a file system that is unmounted here. Needs util-linux.
    pub fn command_with_our_mounts(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let network = Path::new(NAMESPACES).join(&self.namespace);
        let mut option = std::ffi::OsString::from("--net=");
        option.push(network);
        command.arg(option).arg("--").arg(program);
        command
    }

    /// Calls a function on a thread that is on this host's network.
    ///
    /// # Panics
    /// If the thread cannot get there, or the function panics.
    pub fn enter<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let namespace = File::open(Path::new(NAMESPACES).join(&self.namespace));
            let namespace = namespace.expect("the namespace is there while the host is");
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).expect("it was made by us");
            call()
        };
        let joined = std::thread::scope(|scope| scope.spawn(inside).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a future on this host's network.
    ///
    /// # Panics
    /// As [`Host::enter`].
    pub fn block_on<F: Future>(&self, future: impl FnOnce() -> F + Send) -> F::Output
    where
        F::Output: Send,
    {
        self.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(future())
        })
    }

    /// The body of an answer over HTTP from within the host; `None` if it is not 200.
    pub fn http_get(&self, to: SocketAddr, path: &str) -> Option<String> {
        let get = || -> io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&to, ANSWER_WITHIN)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = self.enter(get).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // An error means that it is gone already.
        drop(run("ip", &format!("netns del {}", self.namespace)));
    }
}
