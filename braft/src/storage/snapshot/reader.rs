//! Reads a snapshot file, one frame in memory at a time; nothing unchecked is handed out.

use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::ReadSnapshotError;
use super::format;
use super::format::FOOTER_BYTES;
use super::format::FRAME_BYTES;
use super::format::HEADER_BYTES;
use super::format::Header;
use super::format::HeaderError;
use super::format::Kind;
use crate::storage::fs::FsFile;

/// The sections of a file, in order.
pub(crate) struct Sections {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    random: Option<u64>,
    offset: u64,
    frames: u64,
    /// The frame read last, and how much of it has been taken.
    kind: Kind,
    payload: Vec<u8>,
    taken: usize,
}

/// Reads the content of one section.
pub(crate) struct SectionReader<'a>(&'a mut Sections);

impl Sections {
    pub(super) fn new(file: Arc<dyn FsFile>, path: PathBuf, body: u64) -> Self {
        Self {
            file,
            path,
            random: None,
            offset: body,
            frames: 0,
            kind: Kind::Chunk,
            payload: Vec::new(),
            taken: 0,
        }
    }

    /// The next section, its name first; `None` at the end of a whole file. What was left of
    /// the section before is passed over, and checked all the same.
    pub(crate) fn next_section(
        &mut self,
    ) -> Result<Option<(String, SectionReader<'_>)>, ReadSnapshotError> {
        while self.kind == Kind::Chunk {
            self.frame()?;
        }
        if self.kind == Kind::Footer {
            return Ok(None);
        }
        let name = String::from_utf8(std::mem::take(&mut self.payload));
        let name = name.map_err(|_| self.damaged("a section's name is not text"))?;
        self.frame()?;
        Ok(Some((name, SectionReader(self))))
    }

    /// Reads to the end.
    pub(super) fn verify(mut self) -> Result<(), ReadSnapshotError> {
        while self.next_section()?.is_some() {}
        Ok(())
    }

    fn damaged(&self, what: &str) -> ReadSnapshotError {
        damaged(&self.path, self.offset, what)
    }

    /// Reads the next frame.
    fn frame(&mut self) -> Result<(), ReadSnapshotError> {
        let random = match self.random {
            Some(random) => random,
            None => {
                let header = read_header(&*self.file, &self.path)?;
                *self.random.insert(header.id.random)
            }
        };
        let mut frame = [0; FRAME_BYTES];
        self.fill(&mut frame, self.offset)?;
        let Some(bytes) = format::payload_bytes(&frame) else {
            return Err(self.damaged("no frame can be that long"));
        };
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(bytes, 0);
        self.fill(&mut payload, self.offset + FRAME_BYTES as u64)?;
        let Some(kind) = format::decode_frame(random, self.offset, &frame, &payload) else {
            return Err(self.damaged("a frame is not what was written"));
        };
        let end = self.offset + (FRAME_BYTES + bytes) as u64;
        if kind == Kind::Footer {
            let total = self
                .file
                .bytes()
                .map_err(|source| read_error(&self.path, source))?;
            if payload != self.frames.to_le_bytes() || total != end {
                return Err(self.damaged("the footer does not fit the file"));
            }
        }
        (self.kind, self.payload, self.taken) = (kind, payload, 0);
        self.frames += 1;
        self.offset = end;
        Ok(())
    }

    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadSnapshotError> {
        let read = self.file.read_up_to(buf, offset);
        if read.map_err(|source| read_error(&self.path, source))? < buf.len() {
            return Err(self.damaged("the file ends here, without a footer"));
        }
        Ok(())
    }
}

impl Read for SectionReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let sections = &mut *self.0;
        while sections.kind == Kind::Chunk && sections.taken == sections.payload.len() {
            sections.frame()?;
        }
        if sections.kind != Kind::Chunk {
            return Ok(0);
        }
        let rest = &sections.payload[sections.taken..];
        let bytes = rest.len().min(buf.len());
        buf[..bytes].copy_from_slice(&rest[..bytes]);
        sections.taken += bytes;
        Ok(bytes)
    }
}

fn damaged(path: &Path, offset: u64, what: &str) -> ReadSnapshotError {
    ReadSnapshotError::Damaged {
        file: path.to_path_buf(),
        offset,
        what: what.into(),
    }
}

fn read_error(path: &Path, source: io::Error) -> ReadSnapshotError {
    ReadSnapshotError::Io {
        file: path.to_path_buf(),
        source,
    }
}

/// Reads and checks a file's header.
pub(super) fn read_header(file: &dyn FsFile, path: &Path) -> Result<Header, ReadSnapshotError> {
    let mut fixed = [0; HEADER_BYTES];
    let io = |source| read_error(path, source);
    if file.read_up_to(&mut fixed, 0).map_err(io)? < fixed.len() {
        return Err(HeaderError::Damaged.at(path));
    }
    let Some(meta) = format::meta_bytes(&fixed) else {
        return Err(HeaderError::Damaged.at(path));
    };
    let mut bytes = vec![0; HEADER_BYTES + meta];
    let read = file.read_up_to(&mut bytes, 0).map_err(io)?;
    format::decode_header(&bytes[..read]).map_err(|error| error.at(path))
}

/// Checks that the file ends with a footer of its own.
pub(super) fn check_footer(
    file: &dyn FsFile,
    path: &Path,
    bytes: u64,
) -> Result<(), ReadSnapshotError> {
    let header = read_header(file, path)?;
    let offset = bytes.saturating_sub(FOOTER_BYTES).max(header.body);
    let mut footer = [0; FOOTER_BYTES as usize];
    let read = file
        .read_up_to(&mut footer, offset)
        .map_err(|source| read_error(path, source))?;
    if let Some((frame, payload)) = footer[..read].split_first_chunk::<FRAME_BYTES>()
        && format::decode_frame(header.id.random, offset, frame, payload) == Some(Kind::Footer)
    {
        return Ok(());
    }
    Err(damaged(path, offset, "the file does not end with a footer"))
}
