//! Templates and their versions.

use async_trait::async_trait;
use domain::audit::Act;
use domain::time::Timestamp;

use crate::StoreError;

/// Templates. Definitions are kept as JSON; what they mean is not the store's business.
#[async_trait]
pub trait Templates: Send + Sync {
    /// Keeps a new version, which is not in force yet; answers its number.
    async fn draft_template(&self, draft: Draft) -> Result<u32, StoreError>;

    /// Puts a version in force: the one named, or the newest. Answers which; `None` if there is none.
    async fn publish_template(&self, publish: Publish) -> Result<Option<u32>, StoreError>;

    /// Takes all versions of a template out of use; `false` if there are none. They are kept, and new ones get other
    /// numbers: messages name them.
    async fn retire_template(&self, name: String, act: Act) -> Result<bool, StoreError>;

    /// Every version in use, by name and number.
    async fn templates(&self) -> Result<Vec<KeptTemplate>, StoreError>;

    /// Every version of one template, in use or not.
    async fn template(&self, name: String) -> Result<Vec<KeptTemplate>, StoreError>;

    /// Which versions are in force: cheap, to find out whether anything has changed.
    async fn templates_in_force(&self) -> Result<Vec<InForce>, StoreError>;
}

/// A version to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Of which template.
    pub name: String,
    /// The definition, as JSON.
    pub definition: String,
    /// Who writes it.
    pub act: Act,
}

/// A version to put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Of which template.
    pub name: String,
    /// Which one; the newest if none is named.
    pub version: Option<u32>,
    /// Who does.
    pub act: Act,
}

/// A version, as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTemplate {
    /// Of which template.
    pub name: String,
    /// Its number, from 1.
    pub version: u32,
    /// The definition, as JSON.
    pub definition: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Who wrote it.
    pub created_by: String,
    /// When it was last put in force.
    pub published_at: Option<Timestamp>,
    /// Who did.
    pub published_by: Option<String>,
    /// When it was taken out of use.
    pub retired_at: Option<Timestamp>,
}

/// A version in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Of which template.
    pub name: String,
    /// Its number.
    pub version: u32,
    /// Since when.
    pub since: Timestamp,
}
