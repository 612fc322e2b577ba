//! A short run, with what needs no preparation: kills, pauses and cuts.

use std::process::Command;

#[test]
fn kills_pauses_and_cuts_at_once_lose_nothing_and_show_nothing_stale() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--seconds", "20", "--nodes", "3", "--clients", "6"])
        .args(["--only", "kill,kill-all,stop,cut,one-way"])
        .args(["--at-least", "1"])
        .output()
        .expect("the harness is built with this test");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{errors}");
}
