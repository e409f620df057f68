//! What must hold for any plaintext, any split and any damage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod vector;

use lifeboat_seal::{
    DataKeys, EncryptionContext, FRAME_LEN, GeneratedDataKey, Header, RawAesDataKeys, RawAesKey, SealError, Sealer,
    open,
};
use proptest::prelude::*;
use vector::{block_on, open_in_pieces, pattern};

fn keys() -> RawAesDataKeys {
    RawAesDataKeys::new(vec![
        RawAesKey::new("lifeboat", "primary", &[1; 32]).unwrap(),
        RawAesKey::new("lifeboat", "offsite", &[2; 32]).unwrap(),
    ])
    .unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::from_pairs([("repository", "clinic")]).unwrap()
}

struct Run {
    sealer: Sealer,
    generated: GeneratedDataKey,
}

fn run(frame_len: u32) -> Run {
    let generated = block_on(keys().generate(&context())).unwrap();
    Run { sealer: Sealer::with_frame_len(generated.clone(), &context(), frame_len).unwrap(), generated }
}

fn seal(run: &Run, plaintext: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    run.sealer.seal(plaintext, &mut message).unwrap();
    message
}

/// Something that happens to stored or sent bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: usize, bits: u8 },
    Remove { at: usize, len: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Truncate { at: usize },
    Exchange { at: usize, with: usize },
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<usize>(), 1u8..).prop_map(|(at, bits)| Self::Flip { at, bits }),
            (any::<usize>(), 1usize..100).prop_map(|(at, len)| Self::Remove { at, len }),
            (any::<usize>(), prop::collection::vec(any::<u8>(), 1..100))
                .prop_map(|(at, bytes)| Self::Insert { at, bytes }),
            any::<usize>().prop_map(|at| Self::Truncate { at }),
            (any::<usize>(), any::<usize>()).prop_map(|(at, with)| Self::Exchange { at, with }),
        ]
    }

    fn apply(&self, message: &mut Vec<u8>) {
        let len = message.len();
        if len == 0 {
            return;
        }
        match self {
            Self::Flip { at, bits } => message[at % len] ^= bits,
            Self::Remove { at, len: n } => drop(message.drain(at % len..(at % len + n).min(len))),
            Self::Insert { at, bytes } => drop(message.splice(at % len..at % len, bytes.iter().copied())),
            Self::Truncate { at } => message.truncate(at % len),
            Self::Exchange { at, with } => message.swap(at % len, with % len),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plaintext_in_any_pieces_opens_to_the_same(
        plaintext in prop::collection::vec(any::<u8>(), 0..2000),
        frame_len in 1u32..300,
        seal_pieces in prop::collection::vec(0usize..400, 0..20),
        open_piece_len in 1usize..700,
    ) {
        let run = run(frame_len);
        let mut message = Vec::new();
        let mut stream = run.sealer.begin(&mut message).unwrap();
        let mut rest = plaintext.as_slice();
        for len in seal_pieces {
            let (piece, after) = rest.split_at(len.min(rest.len()));
            stream.update(piece, &mut message).unwrap();
            rest = after;
        }
        stream.update(rest, &mut message).unwrap();
        stream.finish(&mut message).unwrap();
        prop_assert_eq!(message.len(), run.sealer.sealed_len(plaintext.len()));

        let (opened, result) = open_in_pieces(&message, &run.generated.key, open_piece_len);
        prop_assert!(result.is_ok(), "{:?}", result);
        prop_assert_eq!(&opened, &plaintext);

        let mut opened = Vec::new();
        block_on(open(&message, &keys(), &mut opened)).unwrap();
        prop_assert_eq!(&opened, &plaintext);
    }

    #[test]
    fn any_damage_is_refused_and_releases_only_whole_frames_before_it(
        plaintext in prop::collection::vec(any::<u8>(), 0..1000),
        frame_len in 1u32..200,
        damages in prop::collection::vec(Damage::any(), 1..4),
        piece_len in 1usize..700,
    ) {
        let run = run(frame_len);
        let good = seal(&run, &plaintext);
        let mut message = good.clone();
        for damage in &damages {
            damage.apply(&mut message);
        }
        // Exchanging equal bytes, or undoing what was done, is no damage.
        prop_assume!(message != good);
        let mut out = vec![9; 3];
        prop_assert!(block_on(open(&message, &keys(), &mut out)).is_err());
        prop_assert_eq!(out, vec![9; 3]);

        let (left, result) = open_in_pieces(&message, &run.generated.key, piece_len);
        prop_assert!(result.is_err());
        prop_assert!(plaintext.starts_with(&left));
        let same = good.iter().zip(&message).take_while(|(a, b)| a == b).count();
        prop_assert!(left.len() <= same);
        prop_assert!(left.len().is_multiple_of(frame_len as usize) || left.len() == plaintext.len());
    }

    #[test]
    fn any_bytes_at_all_are_refused_without_panic(
        start in prop_oneof![Just(vec![]), Just(vec![2, 4, 0x78])],
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let message = [start, bytes].concat();
        let mut out = Vec::new();
        prop_assert!(block_on(open(&message, &keys(), &mut out)).is_err());
        prop_assert!(out.is_empty());
    }

    #[test]
    fn frames_of_one_message_never_pass_in_another(
        plaintext in prop::collection::vec(any::<u8>(), 1..400),
        frame_len in 1u32..100,
    ) {
        let run = run(frame_len);
        let (one, other) = (seal(&run, &plaintext), seal(&run, &plaintext));
        prop_assert_ne!(&one, &other);
        let header_len = Header::parse(&one).unwrap().unwrap().encoded_len();
        let mixed = [&one[..header_len], &other[header_len..]].concat();
        let (left, result) = open_in_pieces(&mixed, &run.generated.key, usize::MAX);
        prop_assert!(matches!(result, Err(SealError::FrameTag { sequence: 1 })), "{:?}", result);
        prop_assert!(left.is_empty());
    }
}

#[test]
fn a_stream_that_failed_takes_and_gives_nothing_more() {
    let run = run(16);
    let good = seal(&run, &pattern(64));
    let header = Header::parse(&good).unwrap().unwrap();
    let mut stream = lifeboat_seal::OpenStream::new(&header, &run.generated.key).unwrap();
    let mut body = good[header.encoded_len()..].to_vec();
    body[20] ^= 1;
    let mut out = Vec::with_capacity(1000);
    assert!(matches!(stream.update(&body, &mut out), Err(SealError::FrameTag { sequence: 1 })));
    assert!(matches!(stream.update(&good[header.encoded_len()..], &mut out), Err(SealError::StreamFailed)));
    assert!(out.is_empty());
    assert!(matches!(stream.finish(), Err(SealError::StreamFailed)));
}

#[test]
fn whole_chunks_of_our_frame_length_open_at_every_border() {
    let run = run(FRAME_LEN);
    let frame = FRAME_LEN as usize;
    for len in [frame - 1, frame, frame + 1, 2 * frame, 2 * frame + 1, 1_000_003] {
        let plaintext = pattern(len);
        let message = seal(&run, &plaintext);
        assert_eq!(message.len(), run.sealer.sealed_len(len));
        for piece_len in [4096, 65_536, 70_001, usize::MAX] {
            let (opened, result) = open_in_pieces(&message, &run.generated.key, piece_len);
            result.unwrap();
            assert!(opened == plaintext, "{len} bytes in pieces of {piece_len}");
        }
    }
}

#[test]
fn an_exact_multiple_of_the_frame_length_ends_with_an_empty_frame() {
    let run = run(16);
    let message = seal(&run, &pattern(32));
    let last = &message[message.len() - 40..];
    assert_eq!(last[..8], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 3]);
    assert_eq!(last[20..24], [0, 0, 0, 0]);
}

#[test]
fn one_sealer_serves_many_threads() {
    let run = run(64);
    let messages: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| {
                scope.spawn({
                    let run = &run;
                    move || seal(run, &pattern(i * 50))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (i, message) in messages.iter().enumerate() {
        let mut opened = Vec::new();
        block_on(open(message, &keys(), &mut opened)).unwrap();
        assert_eq!(opened, pattern(i * 50));
    }
}
