//! When a certificate expires. rustls, which serves it, does not tell; so this reads the one field
//! out of the DER (RFC 5280, 4.1), and nothing else of it.

/// Tags of ASN.1 (X.690, 8.1.2): universal, and the one that TBSCertificate has before its version.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// The end of its validity, Unix seconds. `None`: it is no certificate, or of before 1970.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let mut certificate = Der(Der(certificate).expect(SEQUENCE)?);
    let mut fields = Der(certificate.expect(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.next()?;
    }
    for _ in 0..3 {
        fields.next()?; // serial number, algorithm, issuer
    }
    let mut validity = Der(fields.expect(SEQUENCE)?);
    validity.next()?;
    let (tag, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    match tag {
        GENERALIZED_TIME => time(text.get(..4)?.parse().ok()?, text.get(4..)?),
        // 50 to 99 are in the last century (RFC 5280, 4.1.2.5.1).
        UTC_TIME => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            time(if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        _ => None,
    }
}

/// Unix seconds of this year and `MMDDHHMMSS`.
fn time(year: i64, rest: &str) -> Option<u64> {
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    // Years that begin in March, in eras of 400 of them: days from 1 March 0000
    // (<https://howardhinnant.github.io/date_algorithms.html#days_from_civil>).
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()
}

/// Elements one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next one's tag and contents.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        // Below 0x80 a length, else how many bytes it has.
        let (length, rest) = match usize::from(*first) {
            length if length < 0x80 => (length, rest),
            form => {
                let (bytes, rest) =
                    rest.split_at_checked(form - 0x80).filter(|(b, _)| b.len() <= 4)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, contents))
    }

    /// The next one's contents, if it has this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> (Vec<u8>, i64) {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        let key = rcgen::KeyPair::generate().unwrap();
        let expires = parameters.not_after.unix_timestamp();
        (parameters.self_signed(&key).unwrap().der().to_vec(), expires)
    }

    #[test]
    fn the_end_is_read_before_2050_and_behind() {
        for (year, month, day) in [(2031, 2, 28), (2028, 2, 29), (2049, 12, 31), (2055, 3, 1)] {
            let (der, expires) = certificate(year, month, day);
            assert_eq!(not_after(&der), u64::try_from(expires).ok(), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let (der, _) = certificate(2031, 1, 1);
        for length in 0..der.len().min(150) {
            assert_eq!(not_after(&der[..length]), None);
        }
        assert_eq!(not_after(b"-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(not_after(&[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
