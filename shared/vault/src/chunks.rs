//! Chunks: from plaintext to sealed objects and back, and the lists that name them.

pub(crate) mod chunk_list;
pub(crate) mod chunk_mark;
pub(crate) mod cpu;
pub(crate) mod message;
pub(crate) mod reader;
pub(crate) mod scratch;
pub(crate) mod stored_chunks;
pub(crate) mod suspects;
mod unpacker;
pub(crate) mod writer;
