//! Advice on a failure, and the failure in one line.

use std::borrow::Cow;

/// The response to an error, and a hint for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The program's response. Code that retries a call reads only this.
    pub response: Response,
    /// A hint for a person: one sentence without a full stop that names the object, and the command if there is one.
    pub hint: Cow<'static, str>,
}

/// How the program responds to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// The cause may pass by itself: the same call, or the next run, may succeed.
    Retry,
    /// It will not succeed again by itself: the run fails.
    Fail,
    /// It will not succeed, and it speaks of damage or an intrusion: a person must look now.
    Page,
}

impl Advice {
    /// The cause may pass by itself; `hint` is for when it does not.
    pub fn retry(hint: impl Into<Cow<'static, str>>) -> Self {
        Self { response: Response::Retry, hint: hint.into() }
    }

    /// The run fails.
    pub fn fail(hint: impl Into<Cow<'static, str>>) -> Self {
        Self { response: Response::Fail, hint: hint.into() }
    }

    /// A person must look now.
    pub fn page(hint: impl Into<Cow<'static, str>>) -> Self {
        Self { response: Response::Page, hint: hint.into() }
    }

    /// A defect of Lifeboat.
    pub fn defect() -> Self {
        Self::fail("this is a defect in Lifeboat: please report it with this message")
    }
}

/// Causes in a line, at most: chains are short, and one that leads back to itself must end.
const MOST_CAUSES: usize = 8;

/// An error and its causes in one line, for logs and messages. A cause that its error quotes already is not repeated.
pub fn story(error: &dyn std::error::Error) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    for _ in 0..MOST_CAUSES {
        let Some(error) = cause else { break };
        let text = error.to_string();
        // Services end their sentences; ours go on.
        let text = text.trim_end_matches('.');
        if !story.ends_with(text) {
            story.push_str(&format!(": {text}"));
        }
        cause = error.source();
    }
    story
}
