package capture

import (
	"reflect"
	"runtime"
	"strings"
	"unsafe"
)

// layout holds the offsets of the runtime's structures that the engine reads.
// They are those of Go 1.26 on 64-bit machines until debug info is there, which
// then has the last word (see debugInfo.layout). TestLayout compares the two and
// fails first when a Go release moves something.
type layout struct {
	// runtime.g, runtime.m, runtime.gobuf (runtime/runtime2.go)
	gStack, gPanic, gM, gSched, gSyscallSP, gSyscallPC, gSyscallBP   uint64
	gStatus, gID, gWaitReason, gSig, gSigPC                          uint64
	gParentID, gGoPC, gStartPC, gLabels                              uint64
	gWaitSince, gTrackingSeq, gLockedM, gWaiting, gSleepWhen, gXRegs uint64
	mGsignal, mP, mOldP, mSyscallTick                                uint64
	bufSP, bufPC, bufBP                                              uint64
	// runtime._panic (runtime/runtime2.go)
	pArg, pLink, pRecovered, pGoexit uint64
	// runtime.hchan (runtime/chan.go)
	cCount, cSize, cBuf, cClosed, cRecvX uint64
	cElemType, cRecvQ, cSendQ            uint64
	// runtime.sudog, maybeTraceablePtr (runtime/runtime2.go): what a goroutine waits in
	sdPrev, sdElem, sdIsSelect, sdWaitLink, sdChan, traceableWord uint64
	// what is waited for: sync.Mutex and others, runtime.pollDesc (runtime/netpoll.go)
	muSema, rwWriterSem, rwReaderSem, wgSema, condNotify, pdFD, pdRG, pdWG uint64
	// maps.Map, maps.table, maps.groupsReference (internal/runtime/maps)
	mapUsed, mapDirPtr, mapDirLen      uint64
	tabIndex, tabGroups                uint64
	groupsData, groupsLengthMask       uint64
	mtGroupSize, mtSlotSize, mtElemOff uint64 // abi.MapType (internal/abi/map.go)
	mtFlags                            uint64
	// runtime.mheap, heapArena and mspan (runtime/mheap.go)
	mheapArenas, mheapSweepgen, arenaSpans, spanStart, spanPages, spanState, spanElem, spanSweepgen, spanAllocBits uint64
	// runtime._func and moduledata (runtime/runtime2.go, symtab.go)
	funcNpcdata, funcNfuncdata, mdPctab, mdGofunc uint64
	funcSize                                      uint64 // where its tables begin
}

// isGo126 says that the running program's runtime is laid out as [go126] says, without that debug
// info tells. On any other release what debug info does not tell is not read.
var isGo126 = runtime.Version() == "go1.26" || strings.HasPrefix(runtime.Version(), "go1.26.")

// go126 is the layout of Go 1.26.
var go126 = layout{
	gStack: 0, gPanic: 32, gM: 48, gSched: 56, gSyscallSP: 104, gSyscallPC: 112, gSyscallBP: 120,
	gStatus: 144, gID: 152, gWaitReason: 176, gSig: 224, gSigPC: 272,
	gParentID: 280, gGoPC: 288, gStartPC: 304, gLabels: 352,
	gWaitSince: 168, gTrackingSeq: 191, gLockedM: 208, gWaiting: 320, gSleepWhen: 368, gXRegs: 400,
	mGsignal: 72, mP: 208, mOldP: 224, mSyscallTick: 788,
	bufSP: 0, bufPC: 8, bufBP: 40,
	pArg: 0, pLink: 16, pRecovered: 88, pGoexit: 90,
	cCount: 0, cSize: 8, cBuf: 16, cClosed: 28, cRecvX: 56, cElemType: 40, cRecvQ: 64, cSendQ: 80,
	sdPrev: 16, sdElem: 24, sdIsSelect: 60, sdWaitLink: 72, sdChan: 88, traceableWord: 8,
	muSema: 4, rwWriterSem: 8, rwReaderSem: 12, wgSema: 8, condNotify: 16, pdFD: 8, pdRG: 32, pdWG: 40,
	mapUsed: 0, mapDirPtr: 16, mapDirLen: 24,
	tabIndex: 8, tabGroups: 16, groupsData: 0, groupsLengthMask: 8,
	mtGroupSize: 80, mtSlotSize: 88, mtElemOff: 96, mtFlags: 104,
	mheapSweepgen: 65856, spanSweepgen: 88, spanAllocBits: 64,
	mheapArenas: mheapArenas126, arenaSpans: 0, spanStart: 24, spanPages: 32, spanState: 99, spanElem: 104,
	funcNpcdata: 28, funcNfuncdata: 43, mdPctab: 80, mdGofunc: 320, funcSize: 44,
}

// mheapArenas126 is the offset of runtime.mheap.arenas, behind fields whose
// alignment differs.
var mheapArenas126 = map[string]uint64{"amd64": 66008, "arm64": 66072}[runtime.GOARCH]

// gSize is how much of a runtime.g the engine reads.
const gSize = 512

// fields names each offset's structure and field, as DWARF has them.
func (l *layout) fields() []layoutField {
	return []layoutField{
		{"runtime.g", "stack", &l.gStack},
		{"runtime.g", "_panic", &l.gPanic},
		{"runtime.g", "m", &l.gM},
		{"runtime.g", "sched", &l.gSched},
		{"runtime.g", "syscallsp", &l.gSyscallSP},
		{"runtime.g", "syscallpc", &l.gSyscallPC},
		{"runtime.g", "syscallbp", &l.gSyscallBP},
		{"runtime.g", "atomicstatus", &l.gStatus},
		{"runtime.g", "goid", &l.gID},
		{"runtime.g", "waitreason", &l.gWaitReason},
		{"runtime.g", "sig", &l.gSig},
		{"runtime.g", "sigpc", &l.gSigPC},
		{"runtime.g", "parentGoid", &l.gParentID},
		{"runtime.g", "gopc", &l.gGoPC},
		{"runtime.g", "startpc", &l.gStartPC},
		{"runtime.g", "labels", &l.gLabels},
		{"runtime.g", "xRegs", &l.gXRegs},
		{"runtime.g", "waitsince", &l.gWaitSince},
		{"runtime.g", "trackingSeq", &l.gTrackingSeq},
		{"runtime.g", "lockedm", &l.gLockedM},
		{"runtime.g", "waiting", &l.gWaiting},
		{"runtime.g", "sleepWhen", &l.gSleepWhen},
		{"runtime.m", "gsignal", &l.mGsignal},
		{"runtime.m", "p", &l.mP},
		{"runtime.m", "oldp", &l.mOldP},
		{"runtime.m", "syscalltick", &l.mSyscallTick},
		{"runtime.gobuf", "sp", &l.bufSP},
		{"runtime.gobuf", "pc", &l.bufPC},
		{"runtime.gobuf", "bp", &l.bufBP},
		{"runtime._panic", "arg", &l.pArg},
		{"runtime._panic", "link", &l.pLink},
		{"runtime._panic", "recovered", &l.pRecovered},
		{"runtime._panic", "goexit", &l.pGoexit},
		{"runtime.hchan", "qcount", &l.cCount},
		{"runtime.hchan", "dataqsiz", &l.cSize},
		{"runtime.hchan", "buf", &l.cBuf},
		{"runtime.hchan", "closed", &l.cClosed},
		{"runtime.hchan", "recvx", &l.cRecvX},
		{"runtime.hchan", "elemtype", &l.cElemType},
		{"runtime.hchan", "recvq", &l.cRecvQ},
		{"runtime.hchan", "sendq", &l.cSendQ},
		{"runtime.sudog", "prev", &l.sdPrev},
		{"runtime.sudog", "elem", &l.sdElem},
		{"runtime.sudog", "isSelect", &l.sdIsSelect},
		{"runtime.sudog", "waitlink", &l.sdWaitLink},
		{"runtime.sudog", "c", &l.sdChan},
		{"runtime.maybeTraceablePtr", "vu", &l.traceableWord},
		{"internal/sync.Mutex", "sema", &l.muSema},
		{"sync.RWMutex", "writerSem", &l.rwWriterSem},
		{"sync.RWMutex", "readerSem", &l.rwReaderSem},
		{"sync.WaitGroup", "sema", &l.wgSema},
		{"sync.Cond", "notify", &l.condNotify},
		{"runtime.pollDesc", "fd", &l.pdFD},
		{"runtime.pollDesc", "rg", &l.pdRG},
		{"runtime.pollDesc", "wg", &l.pdWG},
		{"internal/runtime/maps.Map", "used", &l.mapUsed},
		{"internal/runtime/maps.Map", "dirPtr", &l.mapDirPtr},
		{"internal/runtime/maps.Map", "dirLen", &l.mapDirLen},
		{"internal/runtime/maps.table", "index", &l.tabIndex},
		{"internal/runtime/maps.table", "groups", &l.tabGroups},
		{"internal/runtime/maps.groupsReference", "data", &l.groupsData},
		{"internal/runtime/maps.groupsReference", "lengthMask", &l.groupsLengthMask},
		{"internal/abi.MapType", "GroupSize", &l.mtGroupSize},
		{"internal/abi.MapType", "SlotSize", &l.mtSlotSize},
		{"internal/abi.MapType", "ElemOff", &l.mtElemOff},
		{"internal/abi.MapType", "Flags", &l.mtFlags},
		{"runtime.mheap", "arenas", &l.mheapArenas},
		{"runtime.mheap", "sweepgen", &l.mheapSweepgen},
		{"runtime.heapArena", "spans", &l.arenaSpans},
		{"runtime.mspan", "sweepgen", &l.spanSweepgen},
		{"runtime.mspan", "allocBits", &l.spanAllocBits},
		{"runtime.mspan", "startAddr", &l.spanStart},
		{"runtime.mspan", "npages", &l.spanPages},
		{"runtime.mspan", "state", &l.spanState},
		{"runtime.mspan", "elemsize", &l.spanElem},
		{"runtime._func", "npcdata", &l.funcNpcdata},
		{"runtime._func", "nfuncdata", &l.funcNfuncdata},
		{"runtime.moduledata", "pctab", &l.mdPctab},
		{"runtime.moduledata", "gofunc", &l.mdGofunc},
	}
}

type layoutField struct {
	structure, field string
	offset           *uint64
}

// funcInfo is runtime.funcInfo (runtime/symtab.go).
type funcInfo struct {
	fn     unsafe.Pointer
	module unsafe.Pointer
}

// findfunc is the runtime's; it is push-linknamed there (go.dev/issue/67401).
//
//go:linkname findfunc runtime.findfunc
func findfunc(pc uintptr) funcInfo

// module is what the engine needs of a runtime.moduledata (runtime/symtab.go).
type module struct {
	text, etext     uint64
	data, enoptrbss uint64 // noptrdata … enoptrbss: every package variable
	types, etypes   uint64
}

// Offsets in moduledata of Go 1.26. thisModule checks what it reads there.
const (
	mdText      = 0xb0
	mdNoptrdata = 0xc0
	mdEnoptrbss = 0xf8
	mdTypes     = 0x128
)

// thisModule reads the moduledata of the module that this code is in. ok is
// false if what is there does not look like one.
func thisModule() (m module, ok bool) {
	pc := reflect.ValueOf(thisModule).Pointer()
	fi := findfunc(pc)
	if fi.module == nil || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return module{}, false
	}
	var b [mdTypes + 16]byte
	guarded(func() {
		if (self{}).ReadAt(b[:], uint64(uintptr(fi.module))) != nil {
			return
		}
		m = module{
			text: word(b[:], mdText), etext: word(b[:], mdText+8),
			data: word(b[:], mdNoptrdata), enoptrbss: word(b[:], mdEnoptrbss),
			types: word(b[:], mdTypes), etypes: word(b[:], mdTypes+8),
		}
		a := uint64(uintptr(rtypePtr(reflect.TypeFor[int]())))
		ok = m.text <= uint64(pc) && uint64(pc) < m.etext && m.types <= a && a < m.etypes
	})
	return m, ok
}

// rtypePtr returns a pointer to t's abi.Type.
func rtypePtr(t reflect.Type) unsafe.Pointer {
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1]
}
