//! Reading a script of `pg_restore`: cut into comments and statements where `psql` would cut it.

/// One piece of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A comment between statements, without its dashes.
    Comment(&'a [u8]),
    /// A statement, without the semicolon.
    Statement(&'a [u8]),
}

/// Cuts a script. Definitions may hold anything, so a semicolon or a comment counts only outside of quotes, parentheses and bodies of
/// functions. The rules are those of `psql` (`psqlscan.l`), by which every plain dump is restored. Backslash commands are left out.
pub(super) fn pieces(script: &[u8]) -> Vec<Piece<'_>> {
    let mut reader = Reader { text: script, at: 0 };
    let mut pieces = Vec::new();
    while let Some(byte) = reader.peek() {
        let start = reader.at;
        if byte.is_ascii_whitespace() || byte == b';' {
            reader.at += 1;
        } else if reader.has("--") {
            reader.skip_line();
            pieces.push(Piece::Comment(reader.since(start + 2).trim_ascii()));
        } else if byte == b'\\' {
            reader.skip_line();
        } else {
            reader.skip_statement();
            pieces.push(Piece::Statement(reader.since(start).trim_ascii_end()));
        }
    }
    pieces
}

/// A place in a script.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn has(&self, text: &str) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(text.as_bytes()))
    }

    fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at.min(self.text.len())).unwrap_or_default()
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// Moves to the semicolon that ends the statement, or to the end of the script.
    fn skip_statement(&mut self) {
        let (mut parentheses, mut body) = (0_u32, Body::default());
        while let Some(byte) = self.peek() {
            match byte {
                b';' if parentheses == 0 && body.depth == 0 => return,
                b'(' => parentheses += 1,
                b')' => parentheses = parentheses.saturating_sub(1),
                b'\'' => self.skip_quoted(b'\'', false),
                b'"' => self.skip_quoted(b'"', false),
                b'$' => self.skip_dollar_quoted(),
                b'-' if self.has("--") => self.skip_line(),
                b'/' if self.has("/*") => self.skip_block_comment(),
                _ if is_first_of_word(byte) => {
                    let word = self.take_word();
                    let escapes = word.eq_ignore_ascii_case(b"e") && self.peek() == Some(b'\'');
                    if escapes {
                        self.skip_quoted(b'\'', true);
                    } else if parentheses == 0 {
                        body.see(word);
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Moves to the quote that ends what begins here. A doubled quote ends one text and begins the next, which is the same.
    fn skip_quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                _ if byte == quote => {
                    if !escapes {
                        return;
                    }
                    // Within the text, a doubled quote must not end the meaning of backslashes.
                    if self.text.get(self.at + 1) != Some(&quote) {
                        self.at += 1;
                        return;
                    }
                    self.at += 1;
                }
                b'\\' if escapes => self.at += 1,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Moves to the last byte of a text such as `$body$…$body$`, or stays at a dollar sign that begins none.
    fn skip_dollar_quoted(&mut self) {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let is_tag = |(at, byte): (usize, &u8)| is_first_of_word(*byte) || at > 0 && byte.is_ascii_digit();
        let length = rest.iter().enumerate().take_while(|(at, byte)| is_tag((*at, byte))).count();
        if rest.get(length) != Some(&b'$') {
            return;
        }
        let tag = self.text.get(self.at..self.at + length + 2).unwrap_or_default();
        let body = self.at + tag.len();
        let inside = self.text.get(body..).unwrap_or_default();
        let end = inside.windows(tag.len()).position(|found| found == tag);
        self.at = end.map_or(self.text.len(), |end| body + end + tag.len() - 1);
    }

    /// Moves to the last byte of a comment. Comments nest.
    fn skip_block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.at < self.text.len() {
            if self.has("/*") {
                depth += 1;
                self.at += 1;
            } else if self.has("*/") {
                depth -= 1;
                self.at += 1;
                if depth == 0 {
                    return;
                }
            }
            self.at += 1;
        }
    }

    fn take_word(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| is_first_of_word(byte) || byte.is_ascii_digit() || byte == b'$') {
            self.at += 1;
        }
        self.since(start)
    }
}

fn is_first_of_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

/// Whether the words so far are inside of `BEGIN ATOMIC … END` of a function or procedure.
#[derive(Default)]
struct Body {
    seen: Vec<&'static str>,
    depth: u32,
}

impl Body {
    fn see(&mut self, word: &[u8]) {
        const HEAD: [&str; 5] = ["create", "or", "replace", "function", "procedure"];
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if self.makes_a_routine() {
            match () {
                () if is("begin") => self.depth += 1,
                () if is("case") && self.depth > 0 => self.depth += 1,
                () if is("end") => self.depth = self.depth.saturating_sub(1),
                () => {}
            }
        } else if self.seen.len() < HEAD.len() {
            // Any other word ends the head of a statement that makes a routine.
            self.seen.push(HEAD.into_iter().find(|name| is(name)).unwrap_or(""));
        }
    }

    fn makes_a_routine(&self) -> bool {
        matches!(
            self.seen.as_slice(),
            ["create", "function" | "procedure"] | ["create", "or", "replace", "function" | "procedure"]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(script: &str) -> Vec<&str> {
        let statement = |piece| match piece {
            Piece::Statement(text) => Some(std::str::from_utf8(text).unwrap()),
            Piece::Comment(_) => None,
        };
        pieces(script.as_bytes()).into_iter().filter_map(statement).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_of_quotes_parentheses_and_bodies() {
        for one in [
            "COMMENT ON TABLE t IS 'a; b''; c'",
            "COMMENT ON TABLE t IS E'a\\'; b\\\\'",
            "COMMENT ON TABLE t IS E'a''\\'; b'",
            "CREATE TABLE \"a;\"\"b;\" (a int)",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $_$ SELECT 1; $$; $_$",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT '1; $_$' $$",
            "CREATE RULE r AS ON INSERT TO t DO ( SELECT 1; SELECT 2; )",
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a = 1 THEN 2 END; END",
            "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
            "CREATE VIEW v AS SELECT 1 /* ; /* ; */ ; */",
            "CREATE VIEW v AS SELECT 1 -- ; '\n + 1",
            "CREATE TABLE name$1$ (a$ int, b text DEFAULT '$x$')",
            "CREATE VIEW é AS SELECT 1",
        ] {
            assert_eq!(statements(&format!("{one};\nSELECT 2;")), [one, "SELECT 2"]);
        }
        // `begin` means something only in a routine.
        assert_eq!(statements("CREATE TABLE t (a int); BEGIN; END;"), ["CREATE TABLE t (a int)", "BEGIN", "END"]);
        assert_eq!(statements("SELECT 1"), ["SELECT 1"], "a statement without its end");
    }

    #[test]
    fn only_a_comment_between_statements_is_one() {
        let script = b"--\n-- TOC entry 1 (class 2 OID 3)\n--\n\\restrict a\nCOMMENT ON TABLE t IS '\n-- TOC entry 4 (class 5 OID 6)\n';\n";
        let pieces = pieces(script);
        let comments: Vec<&[u8]> = pieces
            .iter()
            .filter_map(|piece| if let Piece::Comment(text) = piece { Some(*text) } else { None })
            .collect();
        assert_eq!(comments, [b"".as_slice(), b"TOC entry 1 (class 2 OID 3)", b""]);
        assert_eq!(pieces.len(), 4);
    }
}
