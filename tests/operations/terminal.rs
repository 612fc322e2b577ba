//! The command line as a process of its own, before a terminal that nobody sits at.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use braft::cli::{Screen, run};
use braft::testing::{TestError, TestResult};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The command line that the process runs, an argument a line.
const LINE: &str = "BRAFT_TEST_LINE";
/// The longest anything may take; a test that hangs says what it waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 100,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A terminal, and the process that has it. Ended when this is dropped.
pub struct Terminal {
    keys: File,
    shown: Arc<Mutex<String>>,
    process: Child,
}

impl Terminal {
    /// Runs `braft` with these arguments.
    pub fn run(arguments: &[&str]) -> TestResult<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let theirs = File::options()
            .read(true)
            .write(true)
            .open(name.to_str()?)?;
        tcsetwinsize(&ours, SIZE)?;
        // This program again, which then is the command line alone.
        let process = Command::new(std::env::current_exe()?)
            .args([
                "--exact",
                "terminal::the_command_line",
                "--ignored",
                "--nocapture",
            ])
            .env(LINE, arguments.join("\n"))
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(theirs.try_clone()?)
            .stdout(theirs.try_clone()?)
            .stderr(theirs)
            .spawn()?;
        let keys = File::from(ours);
        let mut screen = keys.try_clone()?;
        let shown = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error says that nobody has the terminal any more.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                kept.lock().expect("not poisoned").push_str(&text);
            }
        });
        Ok(Terminal {
            keys,
            shown,
            process,
        })
    }

    /// All that was shown until now.
    pub fn shown(&self) -> String {
        self.shown.lock().expect("not poisoned").clone()
    }

    /// Waits until this is shown.
    pub async fn until(&self, text: &str) -> TestResult {
        let started = Instant::now();
        while !self.shown().contains(text) {
            if started.elapsed() > PATIENCE {
                return Err(self.late(text));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub fn enter(&mut self, text: &str) -> TestResult {
        Ok(self.keys.write_all(format!("{text}\n").as_bytes())?)
    }

    /// What a terminal sends where somebody presses Ctrl-C.
    pub fn interrupt(&self) -> TestResult {
        Ok(kill_process(Pid::from_child(&self.process), Signal::INT)?)
    }

    /// Waits for the end; the exit code.
    pub async fn ended(&mut self) -> TestResult<Option<i32>> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status.code());
            }
            if started.elapsed() > PATIENCE {
                return Err(self.late("its end"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn late(&self, what: &str) -> TestError {
        TestError::from(format!("waited for {what:?}; shown: {}", self.shown()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
#[ignore = "what other tests start as a process of its own"]
fn the_command_line() {
    let line = std::env::var(LINE).expect("started by a test");
    let arguments = ["braft"].into_iter().chain(line.lines());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut screen = Screen::of_process();
    let code = runtime.block_on(run(arguments.map(Into::into), &mut screen));
    std::process::exit(code.into());
}
