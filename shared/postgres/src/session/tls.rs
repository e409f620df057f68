//! TLS as libpq defines `sslmode`: which certificates are trusted and what they prove.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::settings::{ConnectionSettings, SslMode, invalid};

/// What the client checks in the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Issuer,
    IssuerAndHost,
}

impl ConnectionSettings {
    fn proof(&self) -> Proof {
        match self.ssl_mode {
            SslMode::Disable | SslMode::Prefer => Proof::Nothing,
            // libpq: "if a root CA file exists, the behavior of sslmode=require will be the same as that of verify-ca".
            SslMode::Require if self.ca_certificate.is_none() => Proof::Nothing,
            SslMode::Require | SslMode::VerifyCa => Proof::Issuer,
            SslMode::VerifyFull => Proof::IssuerAndHost,
        }
    }

    pub(crate) fn proof_description(&self) -> &'static str {
        match self.proof() {
            Proof::Nothing => "the server's identity is not verified",
            Proof::Issuer => "the certificate's issuer is verified, its host name is not",
            Proof::IssuerAndHost => "the certificate is verified",
        }
    }

    pub(crate) fn proves_the_server(&self) -> bool {
        self.proof() != Proof::Nothing
    }

    pub(crate) fn wants_no_tls(&self) -> bool {
        self.ssl_mode == SslMode::Disable
    }

    /// The driver's TLS for these settings.
    pub(crate) fn tls(&self) -> Result<MakeRustlsConnect> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| invalid(&format!("TLS cannot be set up: {e}")))?;
        let proof = self.proof();
        let config = match proof {
            Proof::IssuerAndHost => builder.with_root_certificates(self.root_store()?),
            Proof::Nothing | Proof::Issuer => {
                let issuer = match proof {
                    Proof::Issuer => Some(
                        WebPkiServerVerifier::builder_with_provider(
                            Arc::new(self.root_store()?),
                            Arc::clone(&provider),
                        )
                        .build()
                        .map_err(|e| invalid(&format!("the trusted certificates cannot be used: {e}")))?,
                    ),
                    _ => None,
                };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(HostIsNotProved { issuer, provider }))
            }
        };
        Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
    }

    fn root_store(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        for root in self.trusted_roots()? {
            // A system store may contain certificates that WebPKI cannot use. The others still count.
            let _ = store.add(root);
        }
        if store.is_empty() {
            return Err(invalid("no trusted certificate is available; add `ca_certificate` to the secret"));
        }
        Ok(store)
    }

    /// The system's roots and the secret's CA.
    fn trusted_roots(&self) -> Result<Vec<CertificateDer<'static>>> {
        let mut roots = rustls_native_certs::load_native_certs().certs;
        if let Some(pem) = &self.ca_certificate {
            let own: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|_| invalid("`ca_certificate` is not PEM"))?;
            if own.is_empty() {
                return Err(invalid("`ca_certificate` contains no certificate"));
            }
            roots.extend(own);
        }
        Ok(roots)
    }

    /// Writes the trusted roots for libpq to `file`. Returns whether libpq needs the file.
    pub(crate) fn write_roots(&self, file: &Path) -> Result<bool> {
        if self.proof() == Proof::Nothing {
            return Ok(false);
        }
        let mut pem = String::new();
        for root in self.trusted_roots()? {
            let text = base64::engine::general_purpose::STANDARD.encode(&root);
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in text.as_bytes().chunks(64) {
                pem.push_str(&String::from_utf8_lossy(line));
                pem.push('\n');
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        std::fs::write(file, pem).map_err(|source| PostgresError::File { path: file.display().to_string(), source })?;
        Ok(true)
    }
}

/// Accepts a certificate for another host (`verify-ca`) or, without `issuer`, any certificate (`require`).
#[derive(Debug)]
struct HostIsNotProved {
    issuer: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for HostIsNotProved {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(issuer) = &self.issuer else { return Ok(ServerCertVerified::assertion()) };
        match issuer.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is checked before the name, so an error about the name means the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
