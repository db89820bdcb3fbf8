//! What a client's certificate says, as facts for policies.
//!
//! It was verified before, by the handshake; here it is only read, once for each
//! connection. What could be read in two ways, once it stands in one line of text, is
//! left out whole: a policy then finds no fact, and never half of one.

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use yasna::{
    ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag,
    models::{ObjectIdentifier, TaggedDerValue},
    tags::{TAG_IA5STRING, TAG_NUMERICSTRING, TAG_PRINTABLESTRING, TAG_UTF8STRING},
};

/// As long as a fact of a policy may be.
const FACT_BYTES_MAX: usize = 1 << 10;
/// `subjectAltName`.
const ALTERNATIVE_NAMES: [u64; 4] = [2, 5, 29, 17];
/// Facts of alternative names, by the tag of a `GeneralName`.
const KINDS: [(&str, u64); 3] = [
    ("client_cert_dns", 2),
    ("client_cert_uri", 6),
    ("client_cert_email", 1),
];

type Fact = (&'static str, String);

/// What is read of a certificate.
#[derive(Default)]
struct Read {
    subject: Vec<Part>,
    names: Vec<TaggedDerValue>,
}

/// Attributes that stand together, nearly always one.
type Part = Vec<(ObjectIdentifier, TaggedDerValue)>;

/// Subject, alternative names by their kind, and fingerprint.
pub(super) fn facts(certificate: &CertificateDer<'_>) -> Vec<Fact> {
    let mut facts = vec![("client_cert_fingerprint", fingerprint(certificate))];
    let Ok(read) = yasna::parse_der(certificate, read) else {
        tracing::warn!("a client's certificate was verified and cannot be read");
        return facts;
    };
    let mut put = |name, value: Option<String>| match value {
        Some(value) if value.is_empty() => {}
        Some(value) if value.len() <= FACT_BYTES_MAX => facts.push((name, value)),
        Some(_) | None => {
            tracing::warn!(
                fact = name,
                "left out: too long, or with characters in it that a fact cannot have"
            );
        }
    };
    put("client_cert_subject", distinguished_name(&read.subject));
    for (fact, tag) in KINDS {
        let of_kind = |name: &&TaggedDerValue| name.tag() == Tag::context(tag);
        put(fact, joined(read.names.iter().filter(of_kind)));
    }
    facts
}

/// SHA-256 of the whole certificate, in hexadecimal.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 5280, 4.1: what is signed, then how and with what.
fn read(reader: BERReader<'_, '_>) -> ASN1Result<Read> {
    reader.read_sequence(|reader| {
        let read = reader.next().read_sequence(read_signed)?;
        reader.next().read_tagged_der()?;
        reader.next().read_tagged_der()?;
        Ok(read)
    })
}

fn read_signed(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Read> {
    // The version; only the third is ever verified.
    if reader.next().read_tagged_der()?.tag() != Tag::context(0) {
        return Err(ASN1Error::new(ASN1ErrorKind::Invalid));
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        reader.next().read_tagged_der()?;
    }
    let attribute = |reader: BERReader<'_, '_>| {
        reader.read_sequence(|reader| {
            let kind = reader.next().read_oid()?;
            Ok((kind, reader.next().read_tagged_der()?))
        })
    };
    let subject = reader
        .next()
        .collect_sequence_of(|part| part.collect_set_of(attribute))?;
    // The key.
    reader.next().read_tagged_der()?;
    let mut names = Vec::new();
    while let Some(last) = reader.read_optional(|reader| reader.read_tagged_der())? {
        if last.tag() == Tag::context(3) {
            names = yasna::parse_der(last.value(), alternative_names)?;
        }
    }
    Ok(Read { subject, names })
}

/// Among the extensions.
fn alternative_names(reader: BERReader<'_, '_>) -> ASN1Result<Vec<TaggedDerValue>> {
    let mut names = Vec::new();
    reader.read_sequence_of(|extension| {
        let (kind, content) = extension.read_sequence(|reader| {
            let kind = reader.next().read_oid()?;
            reader.read_default(false, |reader| reader.read_bool())?;
            Ok((kind, reader.next().read_bytes()?))
        })?;
        if kind.as_ref() == ALTERNATIVE_NAMES.as_slice() {
            names = yasna::parse_der(&content, |reader| {
                reader.collect_sequence_of(|name| name.read_tagged_der())
            })?;
        }
        Ok(())
    })?;
    Ok(names)
}

/// Names with a space between them; `None` if one has a space of its own, or anything
/// else that is not visible ASCII.
fn joined<'a>(names: impl Iterator<Item = &'a TaggedDerValue>) -> Option<String> {
    let mut text = String::new();
    for name in names {
        let name = std::str::from_utf8(name.value()).ok()?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
    }
    Some(text)
}

/// As RFC 4514 writes it, the most specific part first: `CN=ann,O=Example`. `None` if a
/// part is no text.
fn distinguished_name(parts: &[Part]) -> Option<String> {
    let mut text = String::new();
    for part in parts.iter().rev() {
        for (nth, (kind, value)) in part.iter().enumerate() {
            if !text.is_empty() {
                text.push(if nth == 0 { ',' } else { '+' });
            }
            write_attribute(&mut text, &kind.to_string(), value)?;
        }
    }
    Some(text)
}

fn write_attribute(text: &mut String, kind: &str, value: &TaggedDerValue) -> Option<()> {
    let is_text = [
        TAG_UTF8STRING,
        TAG_PRINTABLESTRING,
        TAG_IA5STRING,
        TAG_NUMERICSTRING,
    ]
    .contains(&value.tag());
    let value = std::str::from_utf8(value.value()).ok();
    let value = value.filter(|value| is_text && !value.contains(char::is_control))?;
    text.push_str(short_name(kind).unwrap_or(kind));
    text.push('=');
    let last = value.chars().count().saturating_sub(1);
    for (nth, letter) in value.chars().enumerate() {
        let is_special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=')
            || (nth == 0 && matches!(letter, ' ' | '#'))
            || (nth == last && letter == ' ');
        if is_special {
            text.push('\\');
        }
        text.push(letter);
    }
    Some(())
}

/// Of RFC 4514, and the two more that clients' certificates have.
fn short_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, KeyPair, SanType, string::Ia5String,
    };

    use super::*;

    fn certificate(subject: &[(DnType, &str)], names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn value(facts: &[Fact], name: &str) -> Option<String> {
        let mut found = facts.iter().filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| value.clone());
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    fn ia5(text: &str) -> Ia5String {
        text.try_into().unwrap()
    }

    #[test]
    fn names_are_told_apart_by_their_kind() {
        let certificate = certificate(
            &[
                (DnType::CountryName, "DE"),
                (DnType::OrganizationName, "Example"),
                (DnType::CommonName, "batch"),
            ],
            vec![
                SanType::DnsName(ia5("batch.example")),
                SanType::DnsName(ia5("b.example")),
                SanType::URI(ia5("spiffe://example/ns/ml/sa/batch")),
                SanType::Rfc822Name(ia5("ml@example.org")),
                SanType::IpAddress([127, 0, 0, 1].into()),
            ],
        );
        let facts = facts(&certificate);
        for (name, expected) in [
            ("client_cert_subject", "CN=batch,O=Example,C=DE"),
            ("client_cert_dns", "batch.example b.example"),
            ("client_cert_uri", "spiffe://example/ns/ml/sa/batch"),
            ("client_cert_email", "ml@example.org"),
        ] {
            assert_eq!(value(&facts, name).as_deref(), Some(expected), "{name}");
        }
        let fingerprint = value(&facts, "client_cert_fingerprint").unwrap();
        assert_eq!(fingerprint.len(), 64);
        assert_eq!(facts.len(), 5);
    }

    #[test]
    fn a_name_cannot_pass_for_two() {
        for (name, expected) in [
            ("ann,O=Admins", r"CN=ann\,O\=Admins"),
            ("ann+O=Admins", r"CN=ann\+O\=Admins"),
            (r"a\", r"CN=a\\"),
            (" #a ", r"CN=\ #a\ "),
            ("#a", r"CN=\#a"),
            ("Jürgen \"x\" <y>;", r#"CN=Jürgen \"x\" \<y\>\;"#),
        ] {
            let facts = facts(&certificate(&[(DnType::CommonName, name)], Vec::new()));
            assert_eq!(
                value(&facts, "client_cert_subject").as_deref(),
                Some(expected)
            );
        }
        let two = "spiffe://example/a spiffe://example/admin";
        let names = vec![
            SanType::URI(ia5(two)),
            SanType::URI(ia5("spiffe://example/b")),
            SanType::DnsName(ia5("a.example\0.evil")),
            SanType::Rfc822Name(ia5("a@b\nc@d")),
        ];
        let facts = facts(&certificate(&[(DnType::CommonName, "a\u{1b}[2J")], names));
        assert_eq!(facts.len(), 1, "{facts:?}");
        assert_eq!(facts[0].0, "client_cert_fingerprint");
    }

    #[test]
    fn what_is_too_long_is_left_out_whole() {
        let long = "x".repeat(FACT_BYTES_MAX);
        let names = (0..100)
            .map(|nth| SanType::DnsName(ia5(&format!("host-{nth}.example"))))
            .chain([SanType::URI(ia5("urn:short"))])
            .collect();
        let facts = facts(&certificate(&[(DnType::CommonName, &long)], names));
        assert_eq!(value(&facts, "client_cert_subject"), None);
        assert_eq!(value(&facts, "client_cert_dns"), None);
        assert_eq!(
            value(&facts, "client_cert_uri").as_deref(),
            Some("urn:short")
        );
    }

    #[test]
    fn what_is_no_certificate_has_a_fingerprint_and_nothing_else() {
        let whole = certificate(&[(DnType::CommonName, "a")], Vec::new());
        for length in 0..whole.len() {
            let facts = facts(&CertificateDer::from(whole[..length].to_vec()));
            assert_eq!(facts.len(), 1, "{length}: {facts:?}");
        }
    }
}
