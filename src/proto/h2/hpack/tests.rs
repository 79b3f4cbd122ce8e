//! Blocks of RFC 7541 appendix C, the two ends against each other, and blocks that must be refused.

use proptest::prelude::*;

use super::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| {
        fields.push((name.to_vec(), value.to_vec()));
        true
    })?;
    Ok(fields)
}

fn encode(encoder: &mut Encoder, fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        encoder.field(name, value, &mut out);
    }
    out
}

fn lines(text: &str) -> Fields {
    let line = |l: &str| {
        let (name, value) = l.trim().split_once(": ").unwrap();
        (name.as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    text.lines().filter(|l| !l.trim().is_empty()).map(line).collect()
}

#[test]
fn requests_of_the_rfc() {
    // RFC 7541 C.3 without and C.4 with Huffman coding.
    let first = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
    let second = format!("{first}\ncache-control: no-cache");
    let third =
        ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value";
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        let mut decoder = Decoder::default();
        for (block, text) in blocks.iter().zip([first, &second, third]) {
            assert_eq!(decode(&mut decoder, &hex(block)), Ok(lines(text)));
        }
    }
}

#[test]
fn responses_of_the_rfc_with_eviction() {
    // RFC 7541 C.6: a table of 256 bytes.
    let mut decoder = Decoder::default();
    decoder.set_limit(256);
    decode(&mut decoder, &hex("3fe1 01")).unwrap();
    let first = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com";
    let second = first.replace("302", "307");
    let third = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
                 content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for (block, text) in blocks.iter().zip([first, &second, third]) {
        assert_eq!(decode(&mut decoder, &hex(block)), Ok(lines(text)));
    }
}

#[test]
fn what_repeats_becomes_one_byte_and_secrets_do_not() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let fields = lines(
        ":status: 200\nserver: ringway\nx-frame-options: DENY\nset-cookie: a=secret\nauthorization: Basic c2VjcmV0\ncookie: s=1",
    );
    let blocks: Vec<_> = (0..3).map(|_| encode(&mut encoder, &fields)).collect();
    for block in &blocks {
        assert_eq!(decode(&mut decoder, block), Ok(fields.clone()));
    }
    // No size update, since the peer knows the size; then two insertions, then three indices; the secrets stay literals.
    assert!(blocks[0].starts_with(b"\x88"), "{}", blocks[0].escape_ascii());
    assert_eq!(blocks[2][..3], [0x88, 0xbf, 0xbe], "{}", blocks[2].escape_ascii());
    let authorization = 23 - 15;
    assert!(blocks[2].windows(2).any(|w| w == [0x1f, authorization]), "{}", blocks[2].escape_ascii());
}

#[test]
fn the_peers_smaller_table_is_respected_and_told() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let fields = lines("server: ringway\nx-a: 1");
    for _ in 0..3 {
        let block = encode(&mut encoder, &fields);
        assert_eq!(decode(&mut decoder, &block), Ok(fields.clone()));
    }
    decoder.set_limit(100);
    encoder.set_limit(100);
    encoder.set_limit(300);
    encoder.set_limit(200);
    decoder.set_limit(200);
    let block = encode(&mut encoder, &fields);
    // RFC 7541 §4.2: the smallest, then the final size.
    assert!(block.starts_with(&[0x3f, 100 - 31, 0x3f, 0xa9, 0x01]), "{}", block.escape_ascii());
    assert_eq!(decode(&mut decoder, &block), Ok(fields.clone()));
    encoder.set_limit(0);
    decoder.set_limit(0);
    let block = encode(&mut encoder, &fields);
    assert_eq!(block[0], 0x20);
    assert_eq!(decode(&mut decoder, &block), Ok(fields));
}

#[test]
fn blocks_that_are_wrong_are_refused() {
    for (what, block, error) in [
        ("index 0", "80", HpackError::Index),
        ("index beyond the tables", "be", HpackError::Index),
        ("name index beyond the tables", "7f00 00", HpackError::Index),
        ("literal without value", "41", HpackError::Truncated),
        ("value that ends early", "4105 61", HpackError::Truncated),
        ("integer that does not end", "ffff ffff ffff ff", HpackError::IntegerTooLarge),
        ("update above the limit", "3fe2 1f", HpackError::TableSizeUpdate),
        ("update after a field", "8220", HpackError::TableSizeUpdate),
        ("EOS in a value", "4184 ffff ffff", HpackError::Huffman),
        ("padding of zeros", "4181 18", HpackError::Huffman),
        ("padding of more than 7 bits", "4182 1fff", HpackError::Huffman),
    ] {
        assert_eq!(decode(&mut Decoder::default(), &hex(block)), Err(error), "{what}");
    }
}

#[test]
fn a_lowered_limit_asks_for_an_update() {
    let mut decoder = Decoder::default();
    decoder.set_limit(0);
    assert_eq!(decode(&mut decoder, &hex("82")), Err(HpackError::TableSizeUpdate));
    assert!(decode(&mut decoder, &hex("2082")).is_ok());
    assert!(decode(&mut decoder, &hex("82")).is_ok());
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    const NAMES: &[&[u8]] = &[b":path", b"server", b"x-a", b"x-b", b"cookie", b"etag", b"authorization", b":status"];
    let name =
        prop_oneof![prop::sample::select(NAMES).prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 0..60)];
    let value = prop_oneof![Just(b"same".to_vec()), prop::collection::vec(any::<u8>(), 0..200)];
    (name, value)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        blocks in prop::collection::vec(prop::collection::vec(field(), 0..20), 1..20),
        limits in prop::collection::vec(0usize..5000, 20),
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for (fields, limit) in blocks.iter().zip(limits) {
            let block = encode(&mut encoder, fields);
            let decoded = decode(&mut decoder, &block);
            prop_assert_eq!(decoded.as_ref(), Ok(fields));
            decoder.set_limit(limit);
            encoder.set_limit(limit);
        }
    }

    #[test]
    fn arbitrary_blocks_never_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decode(&mut decoder, &block);
        }
    }
}
