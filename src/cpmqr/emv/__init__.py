"""The EMV toolkit: consumer-presented QR payloads read, judged, explained, made, and proved.

It knows no HTTP, no wallet and no store; clock and entropy are handed in. In the order in which a newcomer may read:

    tlv         data objects: tag, length, value
    tags        what each tag is called, how long it may be, of what it is made
    text        Base64, hex or bytes to the binary payload
    track2      PAN, expiry, service code
    cpm         the payload's model, and `decode`
    findings    what a judge of payloads says
    rules       every rule that a payload can break; `validate`; with `conformity`, what a scheme does otherwise
    encode      the payload's bytes, with every rule obeyed
    explain     a payload for people and programs: makes what `explained` describes and `picture` draws
    till        what a till makes of a scan
    derive      from the issuer's key to a transaction's key
    cryptogram  the proof (ARQC) and the answer to it (ARPC)
    layout      what a scheme profile's file says of a payload
    profile     a scheme's payload as data; `compiled` makes it fast, `compose` fills it by hand
    proof       a payload's cryptograms, checked
    qr          the picture that a camera reads

Imports go one way: nothing here imports what uses it, not even inside a function.
"""
