//! What a certificate calls its holder, for the log.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

/// What is shown of a name.
const MAX_NAME_CHARS: usize = 64;
/// The object identifier of a common name, as it is encoded: 2.5.4.3.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// Texts of up to this many bytes have a length of one byte.
const SHORT: u8 = 0x80;

/// The common name, the first name of a host, or what `openssl x509 -fingerprint -sha256` shows first.
///
/// Of a certificate whose authority was verified: it is that which says so.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> String {
    let parsed = EndEntityCert::try_from(certificate).ok();
    let name = parsed.as_ref().and_then(|parsed| {
        let host = || parsed.valid_dns_names().next().map(str::to_owned);
        common_name(parsed.subject()).or_else(host)
    });
    match name {
        Some(name) => name.chars().take(MAX_NAME_CHARS).collect(),
        None => {
            let digits = Sha256::digest(certificate.as_ref());
            let digits = digits.iter().take(8).map(|byte| format!("{byte:02X}"));
            format!("sha256:{}", digits.collect::<Vec<_>>().join(":"))
        }
    }
}

/// The common name in a subject, as DER has it.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut places = subject.windows(COMMON_NAME.len());
    let at = places.position(|bytes| bytes == COMMON_NAME)? + COMMON_NAME.len();
    // The kind of text: all that are in use are ASCII or UTF-8.
    let (&[_, length], text) = subject.get(at..)?.split_first_chunk::<2>()?;
    if length >= SHORT {
        return None;
    }
    let text = text.get(..usize::from(length))?;
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_found_among_other_parts_and_what_is_cut_off_is_none() {
        // O=braft, CN=node-1
        let organisation = b"\x31\x0e\x30\x0c\x06\x03\x55\x04\x0a\x0c\x05braft";
        let name = b"\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06node-1";
        let subject = [&organisation[..], &name[..]].concat();
        assert_eq!(common_name(&subject).as_deref(), Some("node-1"));
        assert_eq!(common_name(organisation), None);
        for end in 0..subject.len() {
            assert_eq!(common_name(&subject[..end]), None, "{end}");
        }
        let unnamed = name_of(&CertificateDer::from(vec![1, 2, 3]));
        assert_eq!(unnamed, "sha256:03:90:58:C6:F2:C0:CB:49");
    }
}
