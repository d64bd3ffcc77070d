//! One look into a file: its header, and its checksum if that is wanted.
//!
//! Reads in pieces, so that a file may be larger than memory, and opens each file once.
//!
//! Does not ask whether the text is SQL, nor whether all of it is UTF-8: the splitter does.

use std::io::Read;

use super::header::HeaderReader;
use super::metadata::Metadata;
use super::{Checksum, Hasher, Script};
use crate::error::{Name, Problem};

/// Room for one piece of a file. Larger ones made no difference to the speed of SHA-256.
pub(super) type Buffer = Box<[u8; 64 * 1024]>;

/// What a look into a script shows.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) checksum: Checksum,
    pub(super) header: Metadata,
}

pub(super) fn buffer() -> Buffer {
    Box::new([0; 64 * 1024])
}

/// Reads the whole of an up script.
pub(super) fn whole(script: &Script, buffer: &mut Buffer, problems: &mut Vec<Problem>) -> Inspected {
    let mut hasher = Hasher::default();
    let mut header = HeaderReader::new(&script.path);
    read(script, buffer, problems, |piece| {
        hasher.update(piece);
        header.feed(piece);
        Continue::Yes
    });
    Inspected { checksum: hasher.finish(), header: finish(header, problems) }
}

/// Reads no more than the header.
pub(super) fn header(script: &Script, buffer: &mut Buffer, problems: &mut Vec<Problem>) -> Metadata {
    let mut header = HeaderReader::new(&script.path);
    read(script, buffer, problems, |piece| {
        header.feed(piece);
        if header.is_done() { Continue::No } else { Continue::Yes }
    });
    finish(header, problems)
}

/// Returns the text of a small file.
pub(super) fn text(script: &Script, problems: &mut Vec<Problem>) -> Option<String> {
    let mut bytes = Vec::new();
    if let Err(error) = script.open().and_then(|mut file| file.read_to_end(&mut bytes)) {
        problems.push(unreadable(script, &error.to_string()));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let byte = error.utf8_error().valid_up_to();
            problems.push(
                Problem::new(Name::FileUnreadable, format!("the text is not UTF-8 from byte {byte} on"))
                    .at(script.path.as_path())
                    .hint("save it as UTF-8"),
            );
            None
        }
    }
}

enum Continue {
    Yes,
    No,
}

fn finish(header: HeaderReader<'_>, problems: &mut Vec<Problem>) -> Metadata {
    let (metadata, found) = header.finish();
    problems.extend(found);
    metadata
}

fn read(
    script: &Script,
    buffer: &mut Buffer,
    problems: &mut Vec<Problem>,
    mut take: impl FnMut(&[u8]) -> Continue,
) {
    let mut file = match script.open() {
        Ok(file) => file,
        Err(error) => return problems.push(unreadable(script, &error.to_string())),
    };
    let mut start = true;
    loop {
        let length = match file.read(buffer.as_mut_slice()) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return problems.push(unreadable(script, &error.to_string())),
        };
        let piece = &buffer[..length];
        if std::mem::take(&mut start) && (piece.starts_with(b"\xFF\xFE") || piece.starts_with(b"\xFE\xFF")) {
            return problems.push(
                Problem::new(Name::FileUnreadable, "the text is UTF-16, and scripts are UTF-8")
                    .at(script.path.as_path())
                    .hint(format!(
                        "save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8 {}`",
                        script.path.display()
                    )),
            );
        }
        if let Continue::No = take(piece) {
            return;
        }
    }
}

fn unreadable(script: &Script, cause: &str) -> Problem {
    Problem::new(Name::FileUnreadable, format!("`{}` cannot be read", script.path.display()))
        .at(script.path.as_path())
        .caused_by(cause)
}
