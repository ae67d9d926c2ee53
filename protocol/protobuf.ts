import protobuf from 'protobufjs/minimal.js';

// protobufjs would give 64-bit fields as objects of `long` where that package happens to be
// installed. Here they are numbers, everywhere; the codec refuses what a number cannot hold.
Object.assign(protobuf.util, { Long: null });
protobuf.configure();

export default protobuf;
