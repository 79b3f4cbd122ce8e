//! OpenSSL's numbers and names for what can be wrong with a certificate (X509_V_ERR_*, X509_STORE_CTX_get_error(3)):
//! what `crt-ignore-err` names and what `ssl_c_err`, `ssl_c_ca_err` and `ssl_c_verify` tell.

pub const OK: u32 = 0;
pub const UNSPECIFIED: u32 = 1;
pub const UNABLE_TO_GET_CRL: u32 = 3;
pub const CERT_SIGNATURE_FAILURE: u32 = 7;
pub const CERT_NOT_YET_VALID: u32 = 9;
pub const CERT_HAS_EXPIRED: u32 = 10;
pub const CRL_HAS_EXPIRED: u32 = 12;
pub const DEPTH_ZERO_SELF_SIGNED_CERT: u32 = 18;
pub const SELF_SIGNED_CERT_IN_CHAIN: u32 = 19;
pub const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: u32 = 20;
pub const UNABLE_TO_VERIFY_LEAF_SIGNATURE: u32 = 21;
pub const CERT_REVOKED: u32 = 23;
pub const INVALID_PURPOSE: u32 = 26;
pub const UNHANDLED_CRITICAL_EXTENSION: u32 = 34;
pub const HOSTNAME_MISMATCH: u32 = 62;
pub const CA_MD_TOO_WEAK: u32 = 68;
pub const INVALID_CA: u32 = 79;

/// Numbers and names (after `X509_V_ERR_`) of OpenSSL 3.0.
#[rustfmt::skip]
const NAMES: &[(u32, &str)] = &[
    (1, "UNSPECIFIED"),
    (2, "UNABLE_TO_GET_ISSUER_CERT"),
    (3, "UNABLE_TO_GET_CRL"),
    (4, "UNABLE_TO_DECRYPT_CERT_SIGNATURE"),
    (5, "UNABLE_TO_DECRYPT_CRL_SIGNATURE"),
    (6, "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY"),
    (7, "CERT_SIGNATURE_FAILURE"),
    (8, "CRL_SIGNATURE_FAILURE"),
    (9, "CERT_NOT_YET_VALID"),
    (10, "CERT_HAS_EXPIRED"),
    (11, "CRL_NOT_YET_VALID"),
    (12, "CRL_HAS_EXPIRED"),
    (13, "ERROR_IN_CERT_NOT_BEFORE_FIELD"),
    (14, "ERROR_IN_CERT_NOT_AFTER_FIELD"),
    (15, "ERROR_IN_CRL_LAST_UPDATE_FIELD"),
    (16, "ERROR_IN_CRL_NEXT_UPDATE_FIELD"),
    (17, "OUT_OF_MEM"),
    (18, "DEPTH_ZERO_SELF_SIGNED_CERT"),
    (19, "SELF_SIGNED_CERT_IN_CHAIN"),
    (20, "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    (21, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    (22, "CERT_CHAIN_TOO_LONG"),
    (23, "CERT_REVOKED"),
    (24, "NO_ISSUER_PUBLIC_KEY"),
    (25, "PATH_LENGTH_EXCEEDED"),
    (26, "INVALID_PURPOSE"),
    (27, "CERT_UNTRUSTED"),
    (28, "CERT_REJECTED"),
    (29, "SUBJECT_ISSUER_MISMATCH"),
    (30, "AKID_SKID_MISMATCH"),
    (31, "AKID_ISSUER_SERIAL_MISMATCH"),
    (32, "KEYUSAGE_NO_CERTSIGN"),
    (33, "UNABLE_TO_GET_CRL_ISSUER"),
    (34, "UNHANDLED_CRITICAL_EXTENSION"),
    (35, "KEYUSAGE_NO_CRL_SIGN"),
    (36, "UNHANDLED_CRITICAL_CRL_EXTENSION"),
    (37, "INVALID_NON_CA"),
    (38, "PROXY_PATH_LENGTH_EXCEEDED"),
    (39, "KEYUSAGE_NO_DIGITAL_SIGNATURE"),
    (40, "PROXY_CERTIFICATES_NOT_ALLOWED"),
    (41, "INVALID_EXTENSION"),
    (42, "INVALID_POLICY_EXTENSION"),
    (43, "NO_EXPLICIT_POLICY"),
    (44, "DIFFERENT_CRL_SCOPE"),
    (45, "UNSUPPORTED_EXTENSION_FEATURE"),
    (46, "UNNESTED_RESOURCE"),
    (47, "PERMITTED_VIOLATION"),
    (48, "EXCLUDED_VIOLATION"),
    (49, "SUBTREE_MINMAX"),
    (50, "APPLICATION_VERIFICATION"),
    (51, "UNSUPPORTED_CONSTRAINT_TYPE"),
    (52, "UNSUPPORTED_CONSTRAINT_SYNTAX"),
    (53, "UNSUPPORTED_NAME_SYNTAX"),
    (54, "CRL_PATH_VALIDATION_ERROR"),
    (55, "PATH_LOOP"),
    (56, "SUITE_B_INVALID_VERSION"),
    (57, "SUITE_B_INVALID_ALGORITHM"),
    (58, "SUITE_B_INVALID_CURVE"),
    (59, "SUITE_B_INVALID_SIGNATURE_ALGORITHM"),
    (60, "SUITE_B_LOS_NOT_ALLOWED"),
    (61, "SUITE_B_CANNOT_SIGN_P_384_WITH_P_256"),
    (62, "HOSTNAME_MISMATCH"),
    (63, "EMAIL_MISMATCH"),
    (64, "IP_ADDRESS_MISMATCH"),
    (65, "DANE_NO_MATCH"),
    (66, "EE_KEY_TOO_SMALL"),
    (67, "CA_KEY_TOO_SMALL"),
    (68, "CA_MD_TOO_WEAK"),
    (69, "INVALID_CALL"),
    (70, "STORE_LOOKUP"),
    (71, "NO_VALID_SCTS"),
    (72, "PROXY_SUBJECT_NAME_VIOLATION"),
    (73, "OCSP_VERIFY_NEEDED"),
    (74, "OCSP_VERIFY_FAILED"),
    (75, "OCSP_CERT_UNKNOWN"),
    (76, "UNSUPPORTED_SIGNATURE_ALGORITHM"),
    (77, "SIGNATURE_ALGORITHM_MISMATCH"),
    (78, "SIGNATURE_ALGORITHM_INCONSISTENCY"),
    (79, "INVALID_CA"),
    (80, "PATHLEN_INVALID_FOR_NON_CA"),
    (81, "PATHLEN_WITHOUT_KU_KEY_CERT_SIGN"),
    (82, "KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA"),
    (83, "ISSUER_NAME_EMPTY"),
    (84, "SUBJECT_NAME_EMPTY"),
    (85, "MISSING_AUTHORITY_KEY_IDENTIFIER"),
    (86, "MISSING_SUBJECT_KEY_IDENTIFIER"),
    (87, "EMPTY_SUBJECT_ALT_NAME"),
    (88, "EMPTY_SUBJECT_SAN_NOT_CRITICAL"),
    (89, "CA_BCONS_NOT_CRITICAL"),
    (90, "AUTHORITY_KEY_IDENTIFIER_CRITICAL"),
    (91, "SUBJECT_KEY_IDENTIFIER_CRITICAL"),
    (92, "CA_CERT_MISSING_KEY_USAGE"),
    (93, "EXTENSIONS_REQUIRE_VERSION_3"),
    (94, "EC_KEY_EXPLICIT_PARAMS"),
];

/// What verification of a peer's certificate found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyResult {
    /// The last error, ignored or not (`ssl_c_verify`).
    pub result: u32,
    /// The first error at depth 0 (`ssl_c_err`).
    pub crt_err: u32,
    /// The first error at another depth (`ssl_c_ca_err`) and that depth.
    pub ca_err: u32,
    pub ca_err_depth: u32,
    /// The peer presented a certificate, now or when the session was made.
    pub presented: bool,
}

/// `crt-ignore-err`, `ca-ignore-err`: verification errors that do not end the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum IgnoreErrors {
    #[default]
    Nothing,
    /// `all`.
    All,
    /// Numbers; see [`IgnoreErrors::parse`] for names.
    These(Vec<u32>),
}

impl IgnoreErrors {
    /// Reads `all` or a list of numbers and names separated by commas; errs with the word that is neither.
    pub fn parse(text: &str) -> Result<IgnoreErrors, String> {
        if text.split(',').any(|word| word == "all") {
            return Ok(IgnoreErrors::All);
        }
        text.split(',')
            .map(|word| parse(word).ok_or_else(|| word.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self::These)
    }

    pub fn ignores(&self, code: u32) -> bool {
        match self {
            IgnoreErrors::Nothing => false,
            IgnoreErrors::All => true,
            IgnoreErrors::These(codes) => codes.contains(&code),
        }
    }
}

/// A number, or a name with or without `X509_V_ERR_`.
pub fn parse(word: &str) -> Option<u32> {
    if let Ok(number) = word.parse::<u32>() {
        return (number <= 127).then_some(number);
    }
    if word == "X509_V_OK" {
        return Some(OK);
    }
    let name = word.strip_prefix("X509_V_ERR_")?;
    NAMES.iter().find(|(_, n)| *n == name).map(|(code, _)| *code)
}

/// `X509_V_ERR_…`, as the converter `x509_v_err_str` gives it.
pub fn name(code: u32) -> Option<String> {
    if code == OK {
        return Some("X509_V_OK".to_owned());
    }
    NAMES.iter().find(|(c, _)| *c == code).map(|(_, n)| format!("X509_V_ERR_{n}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_read() {
        assert_eq!(IgnoreErrors::parse("all"), Ok(IgnoreErrors::All));
        assert_eq!(
            IgnoreErrors::parse("10,X509_V_ERR_CERT_REVOKED"),
            Ok(IgnoreErrors::These(vec![CERT_HAS_EXPIRED, CERT_REVOKED]))
        );
        assert_eq!(IgnoreErrors::parse("10,nosuch"), Err("nosuch".into()));
        assert_eq!(name(62).as_deref(), Some("X509_V_ERR_HOSTNAME_MISMATCH"));
        assert_eq!(name(0).as_deref(), Some("X509_V_OK"));
    }
}
