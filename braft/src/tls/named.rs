//! What a certificate calls its holder, for the log.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

/// What is shown of a name.
const MAX_NAME_CHARS: usize = 64;
/// The object identifier of a common name, as it is encoded: 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// Values of up to this many bytes have a length of one byte.
const SHORT: u8 = 0x80;
const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

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
        Some(name) => {
            let shown = name.chars().take(MAX_NAME_CHARS);
            shown
                .map(|c| if c.is_control() { '?' } else { c })
                .collect()
        }
        None => {
            let digits = Sha256::digest(certificate.as_ref());
            let digits = digits.iter().take(8).map(|byte| format!("{byte:02X}"));
            format!("sha256:{}", digits.collect::<Vec<_>>().join(":"))
        }
    }
}

/// The common name in a subject, as DER has it.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut rest = subject;
    while let Some((_, part, behind)) = take(rest).filter(|(tag, ..)| *tag == SET) {
        rest = behind;
        let pair = take(part).filter(|(tag, ..)| *tag == SEQUENCE);
        let named = pair.and_then(|(_, pair, _)| take(pair));
        let Some((OBJECT_IDENTIFIER, name, value)) = named else {
            continue;
        };
        if name != COMMON_NAME {
            continue;
        }
        // The kind of text: all that are in use are ASCII or UTF-8.
        let (_, text, _) = take(value)?;
        let text = std::str::from_utf8(text).ok()?;
        return (!text.is_empty()).then(|| text.to_owned());
    }
    None
}

/// The value in DER that stands first: its tag, what it holds, and what comes behind it.
fn take(from: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = from.split_first_chunk::<2>()?;
    if length >= SHORT {
        return None;
    }
    let (held, behind) = rest.split_at_checked(usize::from(length))?;
    Some((tag, held, behind))
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
        // An organisation that looks like a name is none.
        let odd = b"\x31\x13\x30\x11\x06\x03\x55\x04\x0a\x0c\x0a\x06\x03\x55\x04\x03\x0c\x03ops";
        let subject = [&odd[..], &name[..]].concat();
        assert_eq!(common_name(&subject).as_deref(), Some("node-1"));
        let unnamed = name_of(&CertificateDer::from(vec![1, 2, 3]));
        assert_eq!(unnamed, "sha256:03:90:58:C6:F2:C0:CB:49");
    }
}
