"""The EMV toolkit: consumer-presented QR payloads read, judged, explained, made, and proved.

It knows no HTTP, no wallet and no store; clock and entropy are handed in. In the order in which a newcomer may read:

    tlv         data objects: tag, length, value
    tags        what each tag is called, how long it may be, of what it is made
    text        Base64, hex or bytes to the binary payload
    track2      PAN, expiry, service code
    cpm         the payload's model; `decode` and `encode`
    rules       every rule that a payload can break; `validate`
    explain     a payload for people and programs; `picture` draws it
    till        what a till makes of a scan
    derive      from the issuer's key to a transaction's key
    cryptogram  the proof (ARQC) and the answer to it (ARPC)
    profile     a scheme's payload as data; `compiled` makes it fast, `compose` fills it by hand
    qr          the picture that a camera reads
"""
