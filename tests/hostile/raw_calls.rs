//! Commands with payloads that cannot be decoded.

use braft::testing::{Cluster, TestNode, TestResult};
use tests::Counter;

use crate::frames::{CallRequest, Command, send};

const REJECTED: i32 = 1;
const NOT_APPLIED: i32 = 1;

/// MessagePack that is none, or none of a command.
fn undecodable() -> Vec<Vec<u8>> {
    // {"add": {"by": 1}} is a command; what follows comes close, or is far off.
    let command = b"\x81\xa3add\x81\xa2by\x01";
    vec![
        Vec::new(),
        vec![0xc1],
        command[..command.len() - 1].to_vec(),
        [&command[..], b"\x00"].concat(),
        b"\x81\xa3add\x81\xa2by\xa1x".to_vec(),
        b"\x81\xa3add\x82\xa2by\x01\xa2to\x01".to_vec(),
        b"\x81\xa3sub\x81\xa2by\x01".to_vec(),
        // Deeper than any stack.
        vec![0x91; 500_000],
        // A map that promises four thousand million entries, and a text of as many bytes.
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0xdb, 0xff, 0xff, 0xff, 0xff],
    ]
}

#[braft::test(nodes = 3)]
async fn a_command_that_cannot_be_decoded_is_rejected_and_stops_nobody(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    for place in 0..3 {
        let address = cluster.address(TestNode(place));
        let commands = undecodable().into_iter().zip(0..).map(|(payload, id)| {
            let sequence = 1 + id;
            let command = Command {
                session: 1,
                sequence,
            };
            CallRequest::command(id, command, payload)
        });
        for answer in send(&address, commands.collect()).await? {
            let error = answer.error.ok_or("it was answered")?;
            assert_eq!(error.kind, REJECTED, "payload {}: {error:?}", answer.id);
            assert_eq!(error.outcome, NOT_APPLIED, "payload {}", answer.id);
            assert!(!error.message.is_empty(), "payload {}", answer.id);
        }
    }
    assert_eq!(counter.add(1).await??, 2);
    cluster.converged().await?;
    Ok(())
}
