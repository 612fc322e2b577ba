//! Runs command lines in this process.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use braft::cli::{Screen, run};
use braft::testing::{TestError, TestResult};
use serde_json::Value;

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a command line has printed, and its exit code.
#[derive(Debug)]
pub struct Printed {
    pub code: u8,
    pub out: String,
    pub err: String,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned()
    }
}

/// Runs `braft` with these arguments.
pub async fn braft(arguments: &[&str]) -> Printed {
    let (out, err) = (Kept::default(), Kept::default());
    let mut screen = Screen::new(out.clone(), err.clone());
    let arguments = ["braft"].iter().chain(arguments).map(Into::into);
    let code = run(arguments, &mut screen).await;
    Printed {
        code,
        out: out.text(),
        err: err.text(),
    }
}

/// A command line that is being run.
pub struct Running {
    out: Kept,
    err: Kept,
    running: tokio::task::JoinHandle<u8>,
}

impl Running {
    /// Begins to run `braft` with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let (out, err) = (Kept::default(), Kept::default());
        let mut screen = Screen::new(out.clone(), err.clone());
        let arguments = ["braft"].iter().chain(arguments);
        let arguments: Vec<_> = arguments.map(Into::into).collect();
        let running = tokio::spawn(async move { run(arguments, &mut screen).await });
        Running { out, err, running }
    }

    /// Waits until what it has printed is so.
    pub async fn until(&self, is_so: impl Fn(&str) -> bool) -> TestResult {
        while !is_so(&self.out.text()) {
            if self.running.is_finished() {
                return Err(TestError::from(format!(
                    "it has ended: {}",
                    self.err.text()
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits for its end.
    pub async fn ended(self) -> TestResult<Printed> {
        Ok(Printed {
            code: self.running.await?,
            out: self.out.text(),
            err: self.err.text(),
        })
    }
}

/// The same for a command that has to succeed, and prints JSON.
pub async fn json(arguments: &[&str]) -> TestResult<Value> {
    let printed = braft(&[arguments, &["--json"]].concat()).await;
    if printed.code != 0 {
        return Err(TestError::from(format!("{arguments:?}: {printed:?}")));
    }
    Ok(serde_json::from_str(&printed.out)?)
}

impl Printed {
    /// It has to have failed with this code and these words.
    pub fn failed(self, code: u8, words: &[&str]) -> TestResult<String> {
        let all = words.iter().all(|words| self.err.contains(words));
        if self.code != code || !all {
            return Err(TestError::from(format!(
                "not {code} with {words:?}: {self:?}"
            )));
        }
        Ok(self.err)
    }

    /// It has to have succeeded.
    pub fn done(self) -> TestResult<Printed> {
        if self.code != 0 {
            return Err(TestError::from(format!("{self:?}")));
        }
        Ok(self)
    }
}

/// Fails a test with its error.
pub async fn check(test: impl Future<Output = TestResult>) {
    if let Err(error) = test.await {
        panic!("{error}");
    }
}
