//! The certificates.

use super::layer::Layer;
use crate::tls::Secure;

/// The certificates that are configured, read; or what is wrong with them.
pub(super) fn secure(layer: &Layer) -> Result<Option<Secure>, String> {
    let is_meant = layer.tls_cert.is_some()
        || layer.tls_key.is_some()
        || layer.tls_ca.is_some()
        || layer.tls_client_ca.is_some()
        || layer.tls_name.is_some();
    if is_meant {
        load(layer).map(Some)
    } else {
        Ok(None)
    }
}

#[cfg(feature = "tls")]
fn load(layer: &Layer) -> Result<Secure, String> {
    let (Some(certificate), Some(key), Some(authority)) =
        (&layer.tls_cert, &layer.tls_key, &layer.tls_ca)
    else {
        let text = "BRAFT_TLS_CERT, BRAFT_TLS_KEY and BRAFT_TLS_CA belong together; set all three";
        return Err(text.to_owned());
    };
    let mut tls = crate::Tls::new(certificate, key, authority);
    tls.clients.clone_from(&layer.tls_client_ca);
    tls.server_name.clone_from(&layer.tls_name);
    Secure::load(tls).map_err(|why| format!("BRAFT_TLS_…: {why}"))
}

#[cfg(not(feature = "tls"))]
fn load(_: &Layer) -> Result<Secure, String> {
    let text = "BRAFT_TLS_… are set, and this program was built without braft's feature tls: nothing \
                would be encrypted";
    Err(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_the_settings_is_refused_rather_than_ignored() {
        assert!(secure(&Layer::default()).is_ok_and(|tls| tls.is_none()));
        let layer = Layer {
            tls_ca: Some("authority.pem".into()),
            ..Layer::default()
        };
        let text = secure(&layer).err().unwrap_or_default();
        assert!(text.contains("BRAFT_TLS_"), "{text}");
    }
}
