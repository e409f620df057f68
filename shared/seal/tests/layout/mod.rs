//! Where the fields of a good message lie, read by hand from `docs/format/sealed-message.md`, and edits of them.

use std::ops::Range;

/// A message under edit. Fields keep their names while others are inserted and removed before them.
pub struct Edited {
    original: Vec<u8>,
    bytes: Vec<u8>,
    fields: Vec<(String, Range<usize>)>,
}

impl Edited {
    pub fn new(message: &[u8]) -> Self {
        Self { original: message.to_vec(), bytes: message.to_vec(), fields: Fields::of(message) }
    }

    /// Names of the fields that hold no others.
    pub fn leaf_fields(&self) -> Vec<String> {
        let names: Vec<&String> = self.fields.iter().map(|(name, _)| name).collect();
        let is_leaf = |name: &&&String| !names.iter().any(|other| other.starts_with(&format!("{name}.")));
        names.iter().filter(is_leaf).map(|name| (*name).clone()).collect()
    }

    pub fn apply(mut self, edits: &str) -> Vec<u8> {
        for edit in edits.split(';') {
            let mut words = edit.split_whitespace();
            let verb = words.next().unwrap();
            let field = words.next().unwrap_or_default();
            let hex = words.collect::<String>();
            self.edit(verb, field, &hex);
        }
        self.bytes
    }

    fn edit(&mut self, verb: &str, field: &str, hex: &str) {
        match verb {
            "append" => self.bytes.extend(hex::decode(field).unwrap()),
            "append-message" => self.bytes.extend_from_slice(&self.original),
            "flip" => {
                let last = self.range(field).end - 1;
                self.bytes[last] ^= 1;
            }
            "set" => {
                let start = self.range(field).start;
                let new = hex::decode(hex).unwrap();
                assert!(new.len() <= self.range(field).len(), "{field} is shorter");
                self.bytes[start..start + new.len()].copy_from_slice(&new);
            }
            "cut" => self.bytes.truncate(self.range(field).start),
            "cut-in" => self.bytes.truncate(self.range(field).start + 1),
            "remove" => self.splice(self.range(field), &[]),
            "insert" => {
                let start = self.range(field).start;
                self.splice(start..start, &hex::decode(hex).unwrap());
            }
            "repeat" => {
                let range = self.range(field);
                let copy = self.bytes[range.clone()].to_vec();
                self.splice(range.end..range.end, &copy);
            }
            "swap" => self.swap(field, &field.replace('1', "2")),
            "swap-field" => self.swap(&format!("frame.1.{field}"), &format!("frame.2.{field}")),
            other => panic!("no edit {other}"),
        }
    }

    /// Exchanges two fields of equal length; their names go with them.
    fn swap(&mut self, first: &str, second: &str) {
        let (a, b) = (self.range(first), self.range(second));
        assert_eq!(a.len(), b.len());
        for (i, j) in a.clone().zip(b.clone()) {
            self.bytes.swap(i, j);
        }
        let distance = b.start - a.start;
        for (_, range) in &mut self.fields {
            if range.start >= a.start && range.end <= a.end {
                *range = range.start + distance..range.end + distance;
            } else if range.start >= b.start && range.end <= b.end {
                *range = range.start - distance..range.end - distance;
            }
        }
    }

    fn range(&self, field: &str) -> Range<usize> {
        let found = self.fields.iter().find(|(name, _)| name == field);
        found.unwrap_or_else(|| panic!("no field {field}")).1.clone()
    }

    fn splice(&mut self, range: Range<usize>, new: &[u8]) {
        self.bytes.splice(range.clone(), new.iter().copied());
        for (_, field) in &mut self.fields {
            if field.start >= range.end {
                field.start = field.start - range.len() + new.len();
                field.end = field.end - range.len() + new.len();
            }
        }
    }
}

/// Number of regular frames that lie wholly before the byte at `offset` of a good message.
pub fn whole_frames_before(message: &[u8], offset: usize) -> usize {
    let fields = Fields::of(message);
    let is_frame = |name: &str| name.strip_prefix("frame.").is_some_and(|number| !number.contains('.'));
    fields.iter().filter(|(name, range)| is_frame(name) && range.end <= offset).count()
}

struct Fields<'a> {
    message: &'a [u8],
    at: usize,
    found: Vec<(String, Range<usize>)>,
}

impl<'a> Fields<'a> {
    fn of(message: &'a [u8]) -> Vec<(String, Range<usize>)> {
        let mut fields = Self { message, at: 0, found: Vec::new() };
        let frame_len = fields.header();
        fields.body(frame_len);
        assert_eq!(fields.at, message.len());
        fields.found
    }

    fn header(&mut self) -> usize {
        self.take("version", 1);
        self.take("suite", 2);
        self.take("message-id", 32);
        if self.take("context-len", 2) > 0 {
            for pair in 1..=self.take("context-count", 2) {
                let start = self.at;
                self.short(&format!("context.{pair}.key"));
                self.short(&format!("context.{pair}.value"));
                self.found.push((format!("context.{pair}"), start..self.at));
            }
        }
        for key in 1..=self.take("data-key-count", 2) {
            let start = self.at;
            self.short(&format!("data-key.{key}.provider"));
            self.short(&format!("data-key.{key}.info"));
            self.short(&format!("data-key.{key}.ciphertext"));
            self.found.push((format!("data-key.{key}"), start..self.at));
        }
        self.take("content-type", 1);
        let frame_len = self.take("frame-len", 4);
        self.take("commitment", 32);
        self.take("header-tag", 16);
        frame_len
    }

    fn body(&mut self, frame_len: usize) {
        for frame in 1.. {
            let start = self.at;
            if self.message[self.at..].starts_with(&[0xFF; 4]) {
                self.take("last.mark", 4);
                self.take("last.sequence", 4);
                self.take("last.iv", 12);
                let len = self.take("last.len", 4);
                self.take("last.content", len);
                self.take("last.tag", 16);
                self.found.push(("last".to_owned(), start..self.at));
                return;
            }
            self.take(&format!("frame.{frame}.sequence"), 4);
            self.take(&format!("frame.{frame}.iv"), 12);
            self.take(&format!("frame.{frame}.content"), frame_len);
            self.take(&format!("frame.{frame}.tag"), 16);
            self.found.push((format!("frame.{frame}"), start..self.at));
        }
    }

    fn short(&mut self, name: &str) {
        let len = self.take(&format!("{name}-len"), 2);
        self.take(name, len);
    }

    /// Notes the field and gives its value, as far as it is a number.
    fn take(&mut self, name: &str, len: usize) -> usize {
        let range = self.at..self.at + len;
        self.at = range.end;
        let value = self.message[range.clone()].iter().fold(0usize, |value, byte| (value << 8) | usize::from(*byte));
        self.found.push((name.to_owned(), range));
        value
    }
}
