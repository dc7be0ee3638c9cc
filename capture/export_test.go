package capture

// Chill takes a loaded engine back to where its debug info is not there yet; the
// function that it returns brings it.
func (e *Engine) Chill() (warm func()) {
	<-e.ready
	di := e.info.Load()
	e.info.Store(nil)
	e.ready = make(chan struct{})
	secret := e.types.secret
	e.types = newTypeTable(self{}, e.types.module, &e.layout, &e.info)
	e.types.secret = secret
	return func() {
		e.info.Store(di)
		close(e.ready)
	}
}
