"""The wallet's side: ask a gateway for a QR, check what comes back, draw it."""

from cpmqr.client.answer import Answer
from cpmqr.client.async_wallet import AsyncWallet
from cpmqr.client.exchange import Attempt
from cpmqr.client.qrdata import QrData
from cpmqr.client.request import Prepared
from cpmqr.client.settings import Gateway, HashCrc, Transport
from cpmqr.client.wallet import Wallet

__all__ = [
    "Answer",
    "AsyncWallet",
    "Attempt",
    "Gateway",
    "HashCrc",
    "Prepared",
    "QrData",
    "Transport",
    "Wallet",
]
