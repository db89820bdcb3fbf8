//! What things are called that are secret: headers, JSON members and pointers, query and
//! form fields.

use percent_encoding::percent_decode_str;

/// The longest name that is looked at.
const NAME_MAX: usize = 128;

/// Secret wherever they stand in a name.
const WORDS: &[&str] = &[
    "apikey",
    "apikeys",
    "authorization",
    "bearer",
    "cookies",
    "credential",
    "credentials",
    "jwt",
    "passcode",
    "passphrase",
    "secrets",
    "signature",
];
/// Secret at the end of a name, and with it those that only begin with another word:
/// `auth_method` says how, `x-auth` is what is shown.
const LAST: &[&str] = &["auth", "pass", "pwd", "session", "sid", "sig"];
/// So end the names that are written as one word: `sessiontoken`, `clientsecret`.
const ENDINGS: &[&str] = &[
    "accesskey",
    "apikey",
    "apikeys",
    "authkey",
    "cookie",
    "masterkey",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "sessid",
    "sessionid",
    "signingkey",
    "subscriptionkey",
    "token",
];
/// What keys are secret.
const KEYS: &[&str] = &[
    "access",
    "account",
    "api",
    "auth",
    "encryption",
    "function",
    "functions",
    "license",
    "master",
    "private",
    "secret",
    "shared",
    "signing",
    "subscription",
];
/// What a header may end in `-key` for without being a credential.
const OPEN_KEYS: &[&str] = &[
    "cache",
    "idempotency",
    "partition",
    "public",
    "routing",
    "socket",
    "sort",
    "surrogate",
    "websocket",
];

/// Whether things of this name are secret.
pub(super) fn is_secret(name: &str) -> bool {
    if name.len() > NAME_MAX {
        return false;
    }
    if name.contains('%') {
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        return is_secret_as_it_stands(&decoded);
    }
    is_secret_as_it_stands(name)
}

fn is_secret_as_it_stands(name: &str) -> bool {
    let apart = apart(name);
    let mut words = apart.split(' ').filter(|word| !word.is_empty()).peekable();
    let mut before = "";
    while let Some(word) = words.next() {
        let is_last = words.peek().is_none();
        let is_key = matches!(word, "key" | "keys")
            && (KEYS.contains(&before)
                || is_last
                    && is_header(name)
                    && !before.is_empty()
                    && !OPEN_KEYS.contains(&before));
        let is_session_id = before == "session" && word == "id";
        if is_key
            || is_session_id
            || WORDS.contains(&word)
            || is_last && LAST.contains(&word)
            || ENDINGS.iter().any(|ending| word.ends_with(ending))
        {
            return true;
        }
        before = word;
    }
    false
}

/// Whether it is written as headers are, and as little else is.
fn is_header(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.contains('-') && name.bytes().all(is_part)
}

/// The words of `x-api-key`, `apiKey`, `/metadata/api_key`, in lower case, with spaces
/// between them.
fn apart(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    let mut was_lower = false;
    for character in name.chars() {
        if character.is_uppercase() && was_lower || !character.is_alphanumeric() {
            words.push(' ');
        }
        was_lower = character.is_lowercase() || character.is_ascii_digit();
        if character.is_alphanumeric() {
            words.extend(character.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_told_from_others() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "x-api-key",
            "api_key",
            "apiKey",
            "APIKEY",
            "cookie",
            "set-cookie",
            "/metadata/api_key",
            "client_secret",
            "access_token",
            "accessToken",
            "X-Auth-Token",
            "password",
            "/tools/0/credentials/user",
            "private-key",
            "Ocp-Apim-Subscription-Key",
            "x-goog-api-key",
            "auth",
            "x-auth",
            "x-upstream-auth",
            "x-functions-key",
            "my-own-key",
            "pwd",
            "db_pass",
            "sig",
            "x-hub-signature-256",
            "session",
            "PHP-SID",
            "connect.sid",
            "session_id",
            "sessionId",
            "JSESSIONID",
            "PHPSESSID",
            "secretkey",
            "clientsecret",
            "sessiontoken",
            "xsrftoken",
            "apikeys",
            "AWSSecretAccessKey",
            "api%5Fkey",
            "%61pi_key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "max_tokens",
            "x-ratelimit-remaining-tokens",
            "key",
            "monkey",
            "content-type",
            "/messages/0/content",
            "keyboard",
            "author",
            "authority",
            "auth_method",
            "input_tokens",
            "completion_tokens",
            "",
            "public_key",
            "public-key",
            "Idempotency-Key",
            "Sec-WebSocket-Key",
            "x-cache-key",
            "prompt_cache_key",
            "passthrough",
            "compass",
            "side",
            "design",
            "-key",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
