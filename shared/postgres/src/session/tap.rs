//! Takes the rows of a COPY from the connection before they reach the driver.
//!
//! The driver would turn each row into a message and pass it between tasks, which costs several times as much as hashing
//! and storing the row. All other messages pass unchanged, and tell the driver how the COPY ended.
//!
//! Source of the framing: PostgreSQL documentation, "Message Formats": a tag byte, then four bytes of length (themselves
//! included), then the body.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use crate::session::partial_chunk::PartialChunk;

/// The bytes of one read. The kernel rarely has more ready.
const READ_BYTES: usize = 128 * 1024;

const HEADER_BYTES: usize = 5;
const COPY_DATA: u8 = b'd';

/// The longest message of a COPY: PostgreSQL has no row longer than 1 GiB. A longer message is not from PostgreSQL, and gets no
/// memory.
const LONGEST_ROW_BYTES: usize = (1 << 30) + (64 << 20);

/// The place where a session's tap puts the rows, shared with the stream that reads them.
#[derive(Clone, Default)]
pub(crate) struct Intake(Arc<Mutex<Exchange>>);

#[derive(Default)]
struct Exchange {
    /// The chunk to fill; absent while no stream waits for rows.
    chunk: Option<PartialChunk>,
    /// Woken when there is a chunk to fill.
    tap: Option<Waker>,
    /// Woken when it is full.
    stream: Option<Waker>,
}

impl Intake {
    /// Lends `chunk` for the next rows. Returns false if another chunk was lent already.
    pub(crate) fn lend(&self, chunk: PartialChunk) -> bool {
        let mut exchange = self.lock();
        let other = exchange.chunk.replace(chunk);
        if let Some(tap) = exchange.tap.take() {
            tap.wake();
        }
        other.is_none()
    }

    /// Ready when the lent chunk is full. The caller is woken then.
    pub(crate) fn poll_full(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut exchange = self.lock();
        if exchange.chunk.as_ref().is_some_and(PartialChunk::is_full) {
            return Poll::Ready(());
        }
        exchange.stream = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes the chunk back, full or not.
    pub(crate) fn take_back(&self) -> Option<PartialChunk> {
        self.lock().chunk.take()
    }

    fn lock(&self) -> MutexGuard<'_, Exchange> {
        // A panic while a row was added has ended the session's connection, which ends the stream too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Intake(..)")
    }
}

/// The stream of a session, as the driver sees it: without rows.
pub(crate) struct Tap<W> {
    wire: W,
    intake: Intake,
    /// The bytes that have been read. `place..end` is not passed on yet.
    read: Box<[u8]>,
    place: usize,
    end: usize,
    next: Next,
}

/// The message that the next byte belongs to.
#[derive(Clone, Copy)]
enum Next {
    Header,
    /// A row that lacks this many bytes.
    Row(usize),
    /// A message for the driver.
    Other(usize),
}

/// The reason why the tap stopped passing on bytes.
enum Stopped {
    /// All complete messages are passed on. The rest is less than a header.
    ReadMore,
    /// The driver's buffer is full.
    DriverIsFull,
    /// No chunk waits for the next row.
    NobodyWaits,
}

impl<W> Tap<W> {
    pub(crate) fn new(wire: W, intake: Intake) -> Self {
        Self { wire, intake, read: vec![0; READ_BYTES].into(), place: 0, end: 0, next: Next::Header }
    }

    /// Passes rows to the intake and all other messages to the driver.
    fn pass_on(&mut self, cx: &mut Context<'_>, driver: &mut ReadBuf<'_>) -> io::Result<Stopped> {
        let mut exchange = self.intake.lock();
        loop {
            let waiting = self.read.get(self.place..self.end).unwrap_or_default();
            match self.next {
                Next::Header => {
                    let Some((&[tag, a, b, c, d], _)) = waiting.split_first_chunk::<HEADER_BYTES>() else {
                        return Ok(Stopped::ReadMore);
                    };
                    let length = u32::from_be_bytes([a, b, c, d]) as usize;
                    if tag == COPY_DATA {
                        let row = length.checked_sub(HEADER_BYTES - 1).filter(|row| *row <= LONGEST_ROW_BYTES);
                        let row = row
                            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a row of impossible length"))?;
                        self.place += HEADER_BYTES;
                        self.next = Next::Row(row);
                    } else {
                        // The driver gets it with its header, and reports the invalid message.
                        self.next = Next::Other(length.saturating_add(1));
                    }
                }
                Next::Row(missing) => {
                    let chunk = exchange.chunk.as_mut().filter(|chunk| !chunk.is_full());
                    let Some(chunk) = chunk else {
                        exchange.tap = Some(cx.waker().clone());
                        return Ok(Stopped::NobodyWaits);
                    };
                    let part = waiting.get(..missing.min(waiting.len())).unwrap_or_default();
                    chunk.add(part);
                    self.place += part.len();
                    if part.len() < missing {
                        self.next = Next::Row(missing - part.len());
                        return Ok(Stopped::ReadMore);
                    }
                    self.next = Next::Header;
                    chunk.end_message();
                    if chunk.is_full()
                        && let Some(stream) = exchange.stream.take()
                    {
                        stream.wake();
                    }
                }
                Next::Other(missing) => {
                    let part = waiting.get(..missing.min(waiting.len()).min(driver.remaining())).unwrap_or_default();
                    driver.put_slice(part);
                    self.place += part.len();
                    self.next = if part.len() < missing { Next::Other(missing - part.len()) } else { Next::Header };
                    if driver.remaining() == 0 {
                        return Ok(Stopped::DriverIsFull);
                    }
                    if part.len() < missing {
                        return Ok(Stopped::ReadMore);
                    }
                }
            }
        }
    }
}

impl<W: AsyncRead + Unpin> Tap<W> {
    /// Reads more bytes after those not passed on yet, which are less than a header. Returns how many were read.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.copy_within(self.place..self.end, 0);
        self.end -= self.place;
        self.place = 0;
        let mut free = ReadBuf::new(self.read.get_mut(self.end..).unwrap_or_default());
        ready!(Pin::new(&mut self.wire).poll_read(cx, &mut free))?;
        let count = free.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Tap<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, driver: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = driver.filled().len();
        loop {
            let stopped = this.pass_on(cx, driver)?;
            let has_news = driver.filled().len() > before;
            match stopped {
                Stopped::ReadMore => match this.poll_more(cx)? {
                    Poll::Ready(0) => return Poll::Ready(Ok(())),
                    Poll::Ready(_) => {}
                    Poll::Pending if has_news => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                },
                Stopped::NobodyWaits if !has_news => return Poll::Pending,
                Stopped::NobodyWaits | Stopped::DriverIsFull => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Tap<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}

impl<W: TlsStream + Unpin> TlsStream for Tap<W> {
    fn channel_binding(&self) -> ChannelBinding {
        self.wire.channel_binding()
    }
}

#[cfg(test)]
mod tests;
