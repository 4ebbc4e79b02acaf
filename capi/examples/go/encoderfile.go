package main

/*
#cgo pkg-config: encoderfile
#include <encoderfile.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"runtime"
	"unsafe"
)

// Model is an encoder model, for any number of goroutines.
type Model struct {
	handle C.encoderfile_model
}

// Open opens an encoderfile with all cores.
func Open(path string) (*Model, error) {
	chars := C.CString(path)
	defer C.free(unsafe.Pointer(chars))
	model := &Model{}
	var failure *C.encoderfile_error
	if C.encoderfile_open(chars, C.size_t(len(path)), 0, &model.handle, &failure) != 0 {
		return nil, failed(failure)
	}
	runtime.SetFinalizer(model, (*Model).Close)
	return model, nil
}

// Close closes the model. Whoever uses it afterwards gets an error.
func (model *Model) Close() {
	C.encoderfile_close(model.handle)
}

// Encode gives the embedding of each text.
func (model *Model) Encode(texts []string, options string) ([][]float32, error) {
	var failure *C.encoderfile_error
	var width C.size_t
	if C.encoderfile_dimensions(model.handle, &width, &failure) != 0 {
		return nil, failed(failure)
	}
	if len(texts) == 0 || width == 0 {
		return nil, nil
	}

	// C sees Go's memory only where no pointers are in it: the texts are copied.
	size := C.size_t(unsafe.Sizeof(C.encoderfile_text{}))
	array := C.calloc(C.size_t(len(texts)), size)
	defer C.free(array)
	inputs := unsafe.Slice((*C.encoderfile_text)(array), len(texts))
	for i, text := range texts {
		inputs[i] = C.encoderfile_text{data: C.CString(text), len: C.size_t(len(text))}
		defer C.free(unsafe.Pointer(inputs[i].data))
	}
	json := C.CString(options)
	defer C.free(unsafe.Pointer(json))

	numbers := make([]float32, len(texts)*int(width))
	if C.encoderfile_encode(model.handle, &inputs[0], C.size_t(len(texts)), json,
		C.size_t(len(options)), (*C.float)(&numbers[0]), C.size_t(len(numbers)), &failure) != 0 {
		return nil, failed(failure)
	}
	runtime.KeepAlive(model)
	rows := make([][]float32, len(texts))
	for i := range rows {
		rows[i] = numbers[i*int(width) : (i+1)*int(width)]
	}
	return rows, nil
}

func failed(failure *C.encoderfile_error) error {
	defer C.encoderfile_error_free(failure)
	return errors.New(C.GoString(C.encoderfile_error_message(failure)))
}
