//! One socket with frames on it.
//!
//! A frame is its length in four bytes, and that many bytes of [postcard](https://docs.rs/postcard). Both ends are the same
//! program, so nothing of it is written down for others.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One end of a socket pair.
pub(super) struct Line {
    socket: UnixStream,
    /// Kept for its memory.
    frame: Vec<u8>,
}

/// The sockets of one session: for its calls, for its dialects, and for requests to cancel.
pub(super) const SESSION_SOCKETS: usize = 3;

impl Line {
    pub(super) fn new(socket: UnixStream) -> Self {
        Line { socket, frame: Vec::new() }
    }

    /// Sends a frame.
    pub(super) fn send(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.frame.clear();
        self.frame.extend([0; 4]);
        let mut frame =
            postcard::to_extend(what, std::mem::take(&mut self.frame)).map_err(io::Error::other)?;
        let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        self.frame = frame;
        self.socket.write_all(&self.frame)
    }

    /// Receives a frame.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the other end is gone, `InvalidData` for a frame that is none of this program's.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        self.frame.clear();
        let length = u64::from(u32::from_le_bytes(length));
        if (&self.socket).take(length).read_to_end(&mut self.frame)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        postcard::from_bytes(&self.frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Sends a question and receives the answer.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, question: &impl Serialize) -> io::Result<T> {
        self.send(question)?;
        self.receive()
    }

    /// Hands the other process the ends of sockets.
    pub(super) fn send_sockets(&mut self, sockets: &[UnixStream; SESSION_SOCKETS]) -> io::Result<()> {
        let handles = sockets.each_ref().map(AsFd::as_fd);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SESSION_SOCKETS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&handles)) {
            return Err(io::Error::other("there is no room for the sockets"));
        }
        // At least one byte has to go with them.
        sendmsg(&self.socket, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Takes the ends of sockets that the other process hands over.
    pub(super) fn receive_sockets(&mut self) -> io::Result<[UnixStream; SESSION_SOCKETS]> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SESSION_SOCKETS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&self.socket, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let handles = ancillary.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(handles) => handles.collect::<Vec<OwnedFd>>(),
            _ => Vec::new(),
        });
        let sockets: Vec<UnixStream> = handles.map(UnixStream::from).collect();
        sockets.try_into().map_err(|_| io::Error::other("the sockets did not arrive"))
    }

    /// Tells the other end that nothing more comes, and waits until it has put everything away.
    pub(super) fn hang_up(&mut self) -> io::Result<()> {
        self.socket.shutdown(std::net::Shutdown::Write)?;
        io::copy(&mut self.socket, &mut io::sink()).map(drop)
    }
}

/// Returns the two ends of each socket of a session: ours, and theirs.
pub(super) fn session_sockets() -> io::Result<([Line; SESSION_SOCKETS], [UnixStream; SESSION_SOCKETS])> {
    let [one, two, three] = [UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?];
    Ok(([one.0, two.0, three.0].map(Line::new), [one.1, two.1, three.1]))
}
