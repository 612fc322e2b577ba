//! Makes the next segment ahead of need, so that no sync of the log carries metadata.

use std::io;
use std::sync::Arc;

use super::error::Failure;
use super::segment;
use super::segment::STEP_BYTES;
use super::shared::Shared;
use super::shared::Spare;
use crate::storage::fs::FsFile;
use crate::storage::fs::Mode;

/// The helper thread: makes a spare segment whenever one is wanted, until the log closes.
pub(super) fn run(shared: &Shared) {
    loop {
        {
            let mut state = shared.lock();
            while !matches!(state.spare, Spare::Wanted) {
                if state.stopped || state.failed.is_some() {
                    return;
                }
                state = shared.wait(&shared.wanted, state);
            }
            if state.stopped || state.failed.is_some() {
                return;
            }
        }
        prepare_wanted(shared);
    }
}

/// Makes the spare segment that is wanted and says how it went.
pub(super) fn prepare_wanted(shared: &Shared) {
    {
        let mut state = shared.lock();
        if !matches!(state.spare, Spare::Wanted) {
            return;
        }
        state.spare = Spare::Preparing;
    }
    let made = prepare(shared);
    let mut state = shared.lock();
    state.spare = match made {
        Ok(file) => Spare::Ready(file),
        Err(error) => {
            Spare::Unavailable(Failure::new("the next log segment cannot be made", &error))
        }
    };
    shared.room.notify_all();
}

fn prepare(shared: &Shared) -> io::Result<Arc<dyn FsFile>> {
    let path = shared.dir.join(segment::SPARE);
    let recycled = shared.lock().recycled.take();
    if let Some(recycled) = recycled {
        shared.fs.rename(&recycled, &path)?;
    }
    // A file that is left from an earlier attempt or life is used again: on a full disk it may
    // be all there is.
    let file = shared.fs.open(&path, Mode::OpenOrCreate)?;
    let result = zero(shared, &*file);
    if result.is_err() {
        // Half a segment would only take space from what may need it more.
        drop(shared.fs.remove(&path));
    }
    result.map(|()| file)
}

fn zero(shared: &Shared, file: &dyn FsFile) -> io::Result<()> {
    let bytes = shared.options.segment_bytes;
    if file.bytes()? > bytes {
        file.set_len(bytes)?;
    }
    let mut at = 0;
    while at < bytes {
        if shared.lock().stopped {
            return Err(io::Error::other("the log is closed"));
        }
        let to = bytes.min(at + STEP_BYTES as u64);
        segment::zero(file, at, to)?;
        at = to;
    }
    file.sync_all()
}
