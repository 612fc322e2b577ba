//! A cluster made of what is left of another.

use std::path::Path;

use serde_json::json;

use super::failure::Failure;
use super::screen::{Screen, count, facts};
use crate::member::display_id;
use crate::offline::Recovery;

pub(super) fn recover(dir: &Path, yes: bool, screen: &mut Screen) -> Result<(), Failure> {
    let bar = screen.bar("reading", 0);
    let recovery = Recovery::of(dir, &mut |bytes| bar.advance(bytes))?;
    drop(bar);
    match &recovery {
        Recovery::Begun { .. } => {
            screen.hint("goes on with a recovery that was begun and not finished");
        }
        Recovery::New(outlook) => {
            let at = |(term, index): (u64, u64)| format!("term {term}, index {}", count(index));
            let (last, committed) = (outlook.last, outlook.committed);
            let others = outlook.members.nodes.iter();
            let others = others.filter(|(id, _)| **id != outlook.node_id);
            let others =
                others.map(|(id, info)| format!("{} at {}", display_id(*id), info.address));
            screen.hint(facts(&[
                ("node", display_id(outlook.node_id)),
                ("cluster", format!("{:032x}", outlook.cluster_id)),
                ("others", others.collect::<Vec<_>>().join(", ")),
                ("last entry", at((last.term, last.index))),
                (
                    "committed",
                    committed.map_or_else(|| "unknown".to_owned(), |id| at((id.term, id.index))),
                ),
                ("voted in", format!("term {}", outlook.voted_in)),
            ]));
            screen.hint(format!(
                "\nThis makes a new cluster of this one node. What the others have acknowledged behind \
                 its last entry is lost.\n{}.\nRun `braft log \
                 verify` on the disk of each other node that is left, compare the term and index of \
                 the last entry, and recover only the node with the highest: the term counts first.\n\
                 Nodes and clients of the old cluster are refused by the new one. The old data is \
                 kept.\n",
                uncommitted(outlook.uncommitted())
            ));
            if outlook.diverged {
                screen.hint(
                    "The state of this node DIFFERED FROM THAT OF THE MAJORITY when its snapshot was \
                     written: recover another node if there is one.\n",
                );
            }
            if let Err(declined) = confirm(yes, screen) {
                recovery.decline()?;
                return Err(declined);
            }
        }
    }
    let bar = screen.bar("writing", 0);
    let recovered = recovery.carry_out(&mut |bytes| bar.advance(bytes))?;
    drop(bar);
    let cluster_id = format!("{:032x}", recovered.identity.cluster_id.unwrap_or_default());
    let node_id = display_id(recovered.identity.node_id);
    let kept_in = recovered.kept_in.display().to_string();
    let result = json!({ "cluster_id": cluster_id, "node_id": node_id, "kept_in": kept_in });
    if screen.say_json(&result) {
        return Ok(());
    }
    let shown = dir.display();
    screen.say(format!(
        "{shown} is node {node_id} of the new cluster {cluster_id}"
    ));
    screen.hint(format!(
        "start the node; others join it with empty data directories. The old data is in {kept_in}: \
         remove it when all is well"
    ));
    Ok(())
}

fn uncommitted(entries: u64) -> String {
    match entries {
        0 => "All entries of its log are known to be committed".to_owned(),
        entries => format!(
            "{} entries of its log are not known to be committed: they are kept, and commands that \
             nobody was told of may take effect",
            count(entries)
        ),
    }
}

fn confirm(yes: bool, screen: &mut Screen) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    match screen.ask("Make the new cluster?", "recover") {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::Refused("nothing was changed".to_owned())),
        None => Err(Failure::Refused(
            "nobody can be asked here, and nothing was changed; give --yes once you have read what \
             may be lost, which is shown without --json"
                .to_owned(),
        )),
    }
}
