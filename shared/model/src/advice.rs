//! What to do about a failure.

use std::borrow::Cow;

/// What every error of Lifeboat says beside what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What the program does. Code that repeats a call asks this and nothing else.
    pub response: Response,
    /// What a person can do: one sentence, without its full stop, that names the object and the command where there is one.
    pub hint: Cow<'static, str>,
}

/// How the program responds to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// The same call may succeed in a moment.
    Retry,
    /// It will not succeed again by itself: the run fails.
    Fail,
    /// It will not succeed, and it speaks of damage or an intrusion: a person must look now.
    Page,
}

impl Advice {
    /// The same call may succeed in a moment; `hint` is for when it does not.
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
