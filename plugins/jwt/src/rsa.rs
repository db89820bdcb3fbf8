//! Signatures of RSA (PKCS #1 v1.5 with SHA-256), checked as RFC 8017, 8.2.2 says: the
//! message that was to be signed is encoded, and the whole encoding compared.
//!
//! Nothing is parsed out of a signature, so there is nothing to forge around. All is
//! public here, so no time tells a secret. It is written out because the crate `rsa` has an
//! open advisory (RUSTSEC-2023-0071), about private keys, which are never here.

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use sha2::{Digest, Sha256};

const BYTES_MIN: usize = 2048 / 8;
const BYTES_MAX: usize = 4096 / 8;

/// DER of a `DigestInfo` with SHA-256, up to the digest.
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Whether a key of this modulus, without zeros in front, is one that is used here.
pub(crate) fn is_sound(n: &[u8], e: u32) -> bool {
    let is_odd = |byte: Option<&u8>| byte.is_some_and(|byte| byte % 2 == 1);
    (BYTES_MIN..=BYTES_MAX).contains(&n.len())
        && n[0] >= 0x80
        && is_odd(n.last())
        && e >= 3
        && e % 2 == 1
}

pub(crate) fn signed(n: &[u8], e: u32, message: &[u8], signature: &[u8]) -> bool {
    is_sound(n, e)
        && signature.len() == n.len()
        && opened(n, e, signature).is_some_and(|opened| opened == encoded(message, n.len()))
}

/// `signature ^ e mod n`.
fn opened(n: &[u8], e: u32, signature: &[u8]) -> Option<Vec<u8>> {
    let bits = u32::try_from(n.len() * 8).ok()?;
    let modulus = BoxedUint::from_be_slice(n, bits).ok()?;
    let signature = BoxedUint::from_be_slice(signature, bits).ok()?;
    if signature >= modulus {
        return None;
    }
    let params = BoxedMontyParams::new_vartime(Option::from(Odd::new(modulus))?);
    let base = BoxedMontyForm::new(signature, &params);
    let mut power = base.clone();
    for bit in (0..e.ilog2()).rev() {
        power = power.square();
        if e >> bit & 1 == 1 {
            power = power.mul(&base);
        }
    }
    Some(power.retrieve().to_be_bytes().into())
}

/// EMSA-PKCS1-v1_5: `00 01 ff … ff 00`, what digest it is, the digest.
fn encoded(message: &[u8], length: usize) -> Vec<u8> {
    let digest = Sha256::digest(message);
    let padding = length - 3 - SHA256_INFO.len() - digest.len();
    let mut encoded = vec![0, 1];
    encoded.resize(2 + padding, 0xff);
    encoded.push(0);
    encoded.extend(SHA256_INFO);
    encoded.extend(digest);
    encoded
}
