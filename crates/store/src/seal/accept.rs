//! Messages to accept, sealed before they wait for a writer: what a writer does bounds how many are accepted, and sealing was a
//! sixth of it.

use std::borrow::Cow;
use std::ops::Deref;

use super::Vault;
use crate::StoreError;
use crate::port::messages::{Accept, NewMessage};

/// Messages to accept, with what is kept of them in secret.
#[derive(Debug)]
pub(crate) struct SealedAccept {
    accept: Accept,
    /// The key that they are sealed under.
    key: u32,
    rows: Vec<SealedNew>,
}

/// What is kept of a new message in secret.
#[derive(Debug, Clone)]
pub(crate) struct SealedNew {
    pub(crate) receiver: Vec<u8>,
    /// What its receiver is found by.
    pub(crate) receiver_hash: i64,
    pub(crate) body: Vec<u8>,
}

impl SealedNew {
    fn of(vault: &Vault, new: &NewMessage) -> Result<Self, StoreError> {
        let message = &new.message;
        Ok(Self {
            receiver: vault.seal_receiver(message.id, message.receiver)?,
            receiver_hash: vault.blind(message.receiver),
            body: vault.seal_body(message.id, &message.body)?,
        })
    }
}

impl SealedAccept {
    pub(crate) fn new(vault: &Vault, accept: Accept) -> Result<Self, StoreError> {
        let rows = accept.messages.iter().map(|new| SealedNew::of(vault, new)).collect::<Result<_, _>>()?;
        Ok(Self { key: vault.current(), rows, accept })
    }

    /// The messages, each with what is kept of it; sealed once more if another key was put to use while they waited.
    pub(crate) fn rows<'a>(
        &'a self,
        vault: &'a Vault,
    ) -> impl Iterator<Item = Result<(&'a NewMessage, Cow<'a, SealedNew>), StoreError>> {
        let is_right = self.key == vault.current();
        self.accept.messages.iter().zip(&self.rows).map(move |(new, row)| {
            Ok((new, if is_right { Cow::Borrowed(row) } else { Cow::Owned(SealedNew::of(vault, new)?) }))
        })
    }
}

impl Deref for SealedAccept {
    type Target = Accept;

    fn deref(&self) -> &Accept {
        &self.accept
    }
}
