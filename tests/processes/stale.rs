//! A leader's process that is stopped, and goes on where it was when another leads.

use braft::Client;
use braft::testing::TestResult;
use tests::{JournalClient, Note};

use crate::nodes::Nodes;
use crate::paused::signal;

async fn notes(journal: &JournalClient) -> Vec<Note> {
    // Between leaders there may be none.
    journal.notes().await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_the_past_writes_nothing_when_its_process_goes_on() {
    let run = async || -> TestResult {
        let nodes = Nodes::start(3, &[("STUBBORN_LEADER", 1)]).await?;
        let journal = JournalClient::connect(nodes.addresses()).await?;
        let paused = nodes.leader().await?;
        let written = nodes.wait("the leader to write", || async {
            notes(&journal).await.last().map(|note| note.led)
        });
        let term = written.await?;
        signal(&nodes, paused, "-STOP")?;
        nodes
            .wait("the next leader to write", || async {
                let last = notes(&journal).await.last().map(|note| note.led)?;
                (last > term).then_some(())
            })
            .await?;
        // Both tasks hold their tokens now, as far as each has looked. The pause goes on for longer
        // than whatever the old one may have been waiting for.
        tokio::time::sleep(tests::PAUSE).await;
        signal(&nodes, paused, "-CONT")?;
        let address = nodes.addresses()[paused].clone();
        let stale = nodes
            .wait("the old leader's writes to be refused", || async {
                let overview = nodes.overview(paused).await?;
                let mut all = overview["nodes"].as_array()?.iter();
                let own = all.find(|node| node["address"] == *address)?["bizData"].clone();
                (own["refused"].as_u64()? > 1).then_some(own)
            })
            .await?;
        println!("the old leader: {stale}");
        assert!(stale["paused"].as_u64() >= Some(1), "{stale}");
        assert_eq!(stale["validAfterPause"], 0, "{stale}");
        let notes = notes(&journal).await;
        let stale: Vec<_> = notes
            .iter()
            .filter(|note| note.led != note.written_in)
            .collect();
        assert!(stale.is_empty(), "{stale:?}");
        assert!(notes.is_sorted_by_key(|note| note.led));
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
