# NATS that runs as nobody in particular: the image of its makers has no folder that another user than root may write.
FROM nats:2.12.2-alpine@sha256:2d5fce3229ae5741f4ef9225aff95dc4dc036455931eaf77a3eec33fddaa192d
# A new volume takes the owner of the folder that it covers.
RUN mkdir /data && chown 65532:65532 /data
USER 65532:65532
