//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): a nonce so long that it may be random, which no node has to count.
//!
//! A subkey is made of the key and most of the nonce by `HChaCha20`, and seals with what is left of the nonce by
//! ChaCha20-Poly1305 (RFC 8439). Both are libraries'; the second is ring's, which takes a quarter of the time on short
//! values: see docs/adr/0022.

use chacha20::R20;
use chacha20::hchacha;
use domain::secret::{Key, Zeroizing};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;

use super::KEY;

/// Bytes of a nonce.
pub(super) const NONCE: usize = 24;

/// Bytes of it that make the subkey.
const SALT: usize = 16;

/// Seals and opens under one key.
pub(super) struct Cipher(Key);

impl Cipher {
    pub(super) fn new(key: &Key) -> Self {
        Self(key.clone())
    }

    /// Seals a value, bound to `about`. Answers `head`, the nonce, what was sealed, and its tag, one behind the other.
    /// Fails for a value of more than 256 GiB.
    pub(super) fn seal(&self, head: &[u8], about: &[u8], plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        self.seal_with(rand::random(), head, about, plain)
    }

    fn seal_with(
        &self,
        nonce: [u8; NONCE],
        head: &[u8],
        about: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let (key, short) = self.subkey(nonce)?;
        let start = head.len() + NONCE;
        let mut sealed = Vec::with_capacity(start + plain.len() + CHACHA20_POLY1305.tag_len());
        sealed.extend_from_slice(head);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = key.seal_in_place_separate_tag(short, Aad::from(about), &mut sealed[start..])?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Cipher::seal`] answered, without its head. `None` if it is not what was sealed, by this key and about
    /// this.
    pub(super) fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk()?;
        let (key, short) = self.subkey(*nonce).ok()?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let length = key.open_in_place(short, Aad::from(about), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }

    fn subkey(&self, nonce: [u8; NONCE]) -> Result<(LessSafeKey, Nonce), Unspecified> {
        let (mut salt, mut short) = ([0; SALT], [0; 12]);
        salt.copy_from_slice(&nonce[..SALT]);
        short[4..].copy_from_slice(&nonce[SALT..]);
        let subkey = Zeroizing::new(<[u8; KEY]>::from(hchacha::<R20>((&*self.0).into(), &salt.into())));
        let subkey = UnboundKey::new(&CHACHA20_POLY1305, subkey.as_slice())?;
        Ok((LessSafeKey::new(subkey), Nonce::assume_unique_for_key(short)))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The first `LENGTH` bytes from `first` on.
    fn counted<const LENGTH: usize>(first: u8) -> [u8; LENGTH] {
        std::array::from_fn(|at| first + u8::try_from(at).unwrap())
    }

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn the_draft_s_example_is_sealed_as_it_says() {
        let text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                     sunscreen would be it.";
        let about = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let cipher = Cipher::new(&Zeroizing::new(counted(0x80)));
        let sealed = cipher.seal_with(counted(0x40), b"", &about, text).unwrap();
        let mut hex = String::new();
        for byte in &sealed[NONCE..] {
            write!(hex, "{byte:02x}").unwrap();
        }
        assert_eq!(
            hex,
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
             ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
             21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"
        );
        assert_eq!(cipher.open(&about, &sealed).unwrap().as_slice(), text);
    }

    #[test]
    fn a_value_opens_only_whole_by_its_key_and_where_it_belongs() {
        let cipher = Cipher::new(&Zeroizing::new([7; KEY]));
        let sealed = cipher.seal(b"head", b"row 1", b"a text").unwrap();
        let sealed = sealed.strip_prefix(b"head").unwrap();
        assert_eq!(cipher.open(b"row 1", sealed).unwrap().as_slice(), b"a text");
        assert!(cipher.open(b"row 2", sealed).is_none());
        assert!(Cipher::new(&Zeroizing::new([8; KEY])).open(b"row 1", sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(cipher.open(b"row 1", &changed).is_none(), "byte {at}");
            assert!(cipher.open(b"row 1", &sealed[..at]).is_none(), "{at} bytes");
        }
    }
}
