#!/bin/sh
docker run nginx:1.25.3
