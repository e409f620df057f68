//! The port to PostgreSQL of a process that can be killed at it: a proxy that knows where a request of the protocol ends
//! and where its answer does. Source: PostgreSQL's manual, "Frontend/Backend Protocol", version 3.0.
//!
//! A request is everything that a client sends until it waits: the startup, a message of the authentication, a simple
//! query, a batch up to its Sync, or the end of a COPY. Its answer ends where the server waits again.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::kill_switch::{Course, KillSwitch, Port};

/// The code in place of a version that requests to cancel a statement of another connection.
const CANCEL_REQUEST: u32 = 80_877_102;
/// The version of the protocol that clients up to 17 speak: 3.0.
const PROTOCOL: u32 = 196_608;

/// Authentication messages after which the server does not wait for the client.
const AUTHENTICATION_OK: u32 = 0;
const AUTHENTICATION_SASL_FINAL: u32 = 12;

/// Listens for one process. Dropping it stops listening. Connections end with the process.
pub struct PostgresWire {
    port: u16,
    listening: JoinHandle<()>,
}

impl PostgresWire {
    /// Listens on a free port of 127.0.0.1, and forwards to the server on `server_port` there.
    pub async fn start(server_port: u16, switch: KillSwitch) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server_port, switch.clone()));
            }
        });
        Self { port, listening }
    }

    /// The port to connect to instead of the server's.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PostgresWire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Both ends are closed when either side closes or the process dies, as the operating system does for a dead process.
async fn connection(client: TcpStream, server_port: u16, switch: KillSwitch) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = Asked::default();
    tokio::select! {
        () = switch.death() => {}
        _ = requests(BufReader::new(from_client), to_server, &asked, &switch) => {}
        _ = answers(BufReader::new(from_server), to_client, &asked, &switch) => {}
    }
}

/// The requests that wait for an answer, in order.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<VecDeque<Course>>>);

impl Asked {
    fn push(&self, course: Course) {
        self.0.lock().unwrap().push_back(course);
    }

    fn first(&self) -> Option<Course> {
        self.0.lock().unwrap().front().copied()
    }

    fn pop(&self) -> Option<Course> {
        self.0.lock().unwrap().pop_front()
    }
}

async fn requests(
    mut client: BufReader<OwnedReadHalf>,
    mut server: OwnedWriteHalf,
    asked: &Asked,
    switch: &KillSwitch,
) -> Result<()> {
    let startup = read_message(&mut client, 0).await?;
    match number_at(&startup, 4) {
        CANCEL_REQUEST => return server.write_all(&startup).await,
        PROTOCOL => {}
        // The connection strings of the tests disable TLS.
        code => panic!("a client begins with {code}"),
    }
    asked.push(switch.request(Port::Postgres).await);
    server.write_all(&startup).await?;

    // Messages that reach the server only together with the one that requests an answer.
    let mut batch = Vec::new();
    let mut copy_has_ended = false;
    loop {
        let message = read_message(&mut client, 1).await?;
        let kind = message[0];
        batch.extend(message);
        let asks = match kind {
            b'Q' | b'p' | b'F' | b'c' | b'f' => true,
            // The Sync after the end of a COPY belongs to it.
            b'S' => !copy_has_ended,
            _ => false,
        };
        copy_has_ended = matches!(kind, b'c' | b'f');
        if asks {
            asked.push(switch.request(Port::Postgres).await);
        }
        // Parse, Bind, Describe, Execute and Close wait for their Sync.
        if !matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C') {
            server.write_all(&batch).await?;
            batch.clear();
        }
    }
}

async fn answers(
    mut server: BufReader<OwnedReadHalf>,
    mut client: OwnedWriteHalf,
    asked: &Asked,
    switch: &KillSwitch,
) -> Result<()> {
    loop {
        let message = match read_message(&mut server, 1).await {
            Ok(message) => message,
            Err(error) => {
                // The server closed the connection instead of answering, which counts as an answer.
                if asked.first() == Some(Course::Unanswered) {
                    switch.carried_out(Course::Unanswered).await;
                }
                return Err(error);
            }
        };
        let is_last = match message[0] {
            b'Z' | b'G' | b'W' => true,
            b'R' => !matches!(number_at(&message, 5), AUTHENTICATION_OK | AUTHENTICATION_SASL_FINAL),
            _ => false,
        };
        let withheld = asked.first() == Some(Course::Unanswered);
        if is_last && let Some(course) = asked.pop() {
            switch.carried_out(course).await;
        }
        if !withheld {
            client.write_all(&message).await?;
        }
    }
}

/// A message with its type, if it has one, and its length.
async fn read_message<S: AsyncReadExt + Unpin>(stream: &mut S, type_len: usize) -> Result<Vec<u8>> {
    let mut message = vec![0; type_len + 4];
    stream.read_exact(&mut message).await?;
    let len = number_at(&message, type_len) as usize;
    message.resize(type_len + len.max(4), 0);
    stream.read_exact(&mut message[type_len + 4..]).await?;
    Ok(message)
}

fn number_at(message: &[u8], offset: usize) -> u32 {
    let bytes = message.get(offset..offset + 4).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof));
    u32::from_be_bytes(bytes.unwrap().try_into().unwrap())
}
