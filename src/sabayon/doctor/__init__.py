"""`sabayon doctor`: whether this machine can run the platform, and which of its promises hold here.

`probes` asks the machine and yields `facts`; purely, `findings` judges them and `report` writes that down.
"""
