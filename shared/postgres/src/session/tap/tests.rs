use std::time::Duration;

use lifeboat_model::{ChunkKey, CopyFormat};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::session::partial_chunk::CopyStage;

/// A message of the server: for the driver (any tag but `d`), or a line of a COPY in text form.
#[derive(Debug, Clone)]
enum Message {
    Other(u8, Vec<u8>),
    Line(usize),
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let (tag, body) = match self {
            Self::Other(tag, body) => (*tag, body.clone()),
            Self::Line(length) => (COPY_DATA, line(*length)),
        };
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), &body].concat()
    }
}

fn line(length: usize) -> Vec<u8> {
    let mut line: Vec<u8> = (0..length).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect();
    line.push(b'\n');
    line
}

fn message() -> impl Strategy<Value = Message> {
    let other =
        (b'A'..=b'Z', prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| Message::Other(tag, body));
    let line = prop_oneof![4 => 0_usize..200, 1 => 0_usize..3 * READ_BYTES].prop_map(Message::Line);
    prop_oneof![1 => other, 3 => line]
}

/// What the driver saw, the rows in chunks, and their number.
async fn tapped(wire: DuplexStream, driver_bytes: usize, limit_bytes: usize) -> (Vec<u8>, Vec<Vec<u8>>, u64) {
    let intake = Intake::default();
    let mut tap = Tap::new(wire, intake.clone());
    let driver = tokio::spawn(async move {
        let (mut seen, mut buffer) = (Vec::new(), vec![0; driver_bytes]);
        loop {
            match tap.read(&mut buffer).await.unwrap() {
                0 => return seen,
                count => seen.extend_from_slice(&buffer[..count]),
            }
        }
    });
    let (mut chunks, mut rows) = (Vec::new(), 0_u64);
    let hasher = ChunkKey::new([7; 32]).row_hasher();
    let mut driver = driver;
    loop {
        let chunk = PartialChunk::new(Vec::new(), CopyStage::Rows, CopyFormat::Text, 1, hasher.clone(), limit_bytes);
        assert!(intake.lend(chunk));
        let full = std::future::poll_fn(|cx| intake.poll_full(cx));
        let seen = tokio::select! {
            biased;
            () = full => None,
            seen = &mut driver => Some(seen.unwrap()),
        };
        let chunk = intake.take_back().unwrap();
        rows += chunk.rows();
        chunks.push(chunk.bytes().to_vec());
        if let Some(seen) = seen {
            return (seen, chunks, rows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 16, ..ProptestConfig::default() })]
    #[test]
    fn however_the_bytes_are_cut_rows_go_to_the_intake_in_whole_chunks_and_all_else_to_the_driver(
        messages in prop::collection::vec(message(), 0..60),
        piece_bytes in 1_usize..100_000,
        pipe_bytes in 1_usize..300_000,
        driver_bytes in 1_usize..10_000,
        limit_bytes in 1_usize..200_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (seen, chunks, rows) = runtime.block_on(async {
            let (mut server, wire) = duplex(pipe_bytes);
            let sent: Vec<u8> = messages.iter().flat_map(Message::bytes).collect();
            let sending = tokio::spawn(async move {
                for piece in sent.chunks(piece_bytes) {
                    server.write_all(piece).await.unwrap();
                }
            });
            // Nobody has ever waited longer than some milliseconds: bytes that nobody moves on are a failure, not a hang.
            let tapped = tapped(wire, driver_bytes, limit_bytes);
            let tapped = tokio::time::timeout(Duration::from_secs(20), tapped).await.unwrap();
            sending.await.unwrap();
            tapped
        });
        let is_line = |message: &&Message| matches!(message, Message::Line(_));
        let others: Vec<u8> = messages.iter().filter(|message| !is_line(message)).flat_map(Message::bytes).collect();
        let lines: Vec<Vec<u8>> = messages.iter().filter(is_line).map(|message| message.bytes().split_off(HEADER_BYTES)).collect();
        prop_assert!(seen == others, "the driver saw {} bytes of {}", seen.len(), others.len());
        prop_assert!(chunks.concat() == lines.concat());
        prop_assert_eq!(rows, lines.len() as u64);
        // Each chunk but the last ends at the first line that reaches the limit.
        let mut expected = vec![Vec::new()];
        for line in lines {
            let last = expected.last_mut().unwrap();
            last.extend_from_slice(&line);
            if last.len() >= limit_bytes {
                expected.push(Vec::new());
            }
        }
        prop_assert!(chunks == expected, "{} chunks of {}", chunks.len(), expected.len());
    }
}

#[tokio::test]
async fn a_row_longer_than_any_is_an_error_before_memory_is_spent_on_it() {
    for length in [0_u32, 3, u32::MAX, u32::try_from(LONGEST_ROW_BYTES).unwrap() + 5] {
        let (mut server, wire) = duplex(64);
        server.write_all(&[&[COPY_DATA][..], &length.to_be_bytes()].concat()).await.unwrap();
        let error = Tap::new(wire, Intake::default()).read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
    }
}

#[tokio::test]
async fn while_nobody_waits_for_rows_the_driver_still_gets_what_came_before_them() {
    let (mut server, wire) = duplex(1024);
    let before = Message::Other(b'H', vec![1, 2, 3]).bytes();
    server
        .write_all(&[before.clone(), Message::Line(10).bytes(), Message::Other(b'c', vec![]).bytes()].concat())
        .await
        .unwrap();
    let intake = Intake::default();
    let mut tap = Tap::new(wire, intake.clone());
    let mut seen = vec![0; 100];
    let count = tap.read(&mut seen).await.unwrap();
    assert_eq!(seen[..count], before);
    let mut stuck = Box::pin(tap.read(&mut seen));
    assert!(futures_util::poll!(stuck.as_mut()).is_pending());
    let hasher = ChunkKey::new([7; 32]).row_hasher();
    assert!(intake.lend(PartialChunk::new(Vec::new(), CopyStage::Rows, CopyFormat::Text, 1, hasher, 1000)));
    let count = stuck.await.unwrap();
    assert_eq!(seen[..count], Message::Other(b'c', vec![]).bytes());
    assert_eq!(intake.take_back().unwrap().bytes(), line(10));
}

#[tokio::test]
async fn a_connection_that_breaks_off_in_the_middle_of_a_row_is_at_its_end_and_the_row_is_none() {
    let (mut server, wire) = duplex(1024);
    let message = Message::Line(100).bytes();
    server.write_all(&message[..50]).await.unwrap();
    drop(server);
    let intake = Intake::default();
    let hasher = ChunkKey::new([7; 32]).row_hasher();
    assert!(intake.lend(PartialChunk::new(Vec::new(), CopyStage::Rows, CopyFormat::Text, 1, hasher.clone(), 10)));
    assert_eq!(Tap::new(wire, intake.clone()).read(&mut [0; 64]).await.unwrap(), 0);
    assert!(
        !intake.lend(PartialChunk::new(Vec::new(), CopyStage::Rows, CopyFormat::Text, 1, hasher, 10)),
        "one was lent already"
    );
    assert_eq!(intake.take_back().unwrap().rows(), 0);
}
