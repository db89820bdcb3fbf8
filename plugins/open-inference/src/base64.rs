//! Vectors as OpenAI's clients ask for them: floats of 32 bits, little-endian, in base64.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn of_floats(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = (group >> (18 - 6 * place) & 63) as usize;
            text.push(match place > three.len() {
                true => '=',
                false => char::from(ALPHABET[index]),
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_numpy_writes_them() {
        assert_eq!(of_floats(&[]), "");
        assert_eq!(of_floats(&[1.0]), "AACAPw==");
        assert_eq!(of_floats(&[1.0, -2.5]), "AACAPwAAIMA=");
        assert_eq!(of_floats(&[0.0, 0.0, 0.0]), "AAAAAAAAAAAAAAAA");
    }
}
