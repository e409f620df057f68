//! Reading big-endian fields from a buffer that may still be incomplete.

/// Why a field could not be read: the buffer ends inside it. More input may complete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeedMore;

/// A position in a buffer. Every read either takes the whole field or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { rest: input, taken: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], NeedMore> {
        let (field, rest) = self.rest.split_at_checked(len).ok_or(NeedMore)?;
        self.rest = rest;
        self.taken += len;
        Ok(field)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], NeedMore> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(NeedMore)?;
        self.rest = rest;
        self.taken += N;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, NeedMore> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, NeedMore> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, NeedMore> {
        self.array().map(u32::from_be_bytes)
    }
}

/// Appends `field` after its length as 16 bits. `None`, with nothing written, when it is longer than 65,535 bytes.
pub(crate) fn put_short(out: &mut Vec<u8>, field: &[u8]) -> Option<()> {
    let len = u16::try_from(field.len()).ok()?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(field);
    Some(())
}
