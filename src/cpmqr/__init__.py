"""cpmqr: the token gateway behind "show the QR on your phone to pay", its wallet client and an EMV toolkit."""
